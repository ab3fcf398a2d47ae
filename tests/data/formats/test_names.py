"""Names are the same in whatever Unicode form they are written."""

from pathlib import Path
from unicodedata import normalize

import pytest

from coarsecon.data.formats.names import canonical, path_on_disk

NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_names_are_compared_in_one_form() -> None:
    assert canonical(NFC) == canonical(NFD) == NFC
    assert canonical("Café") != canonical("café")


@pytest.mark.parametrize("parts", [(NFC, NFC), (NFD, NFD), (NFC, NFD), (NFD, NFC)])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_a_path_is_found_in_any_form(tmp_path: Path, parts: tuple[str, str], asked: str) -> None:
    file = tmp_path.joinpath(*parts)
    file.parent.mkdir()
    file.touch()
    assert path_on_disk(Path(normalize(asked, str(file)))) == file


def test_partly_composed_names_are_found(tmp_path: Path) -> None:
    name = "\u00e9e\u0301"
    (tmp_path / name).touch()
    assert path_on_disk(tmp_path / normalize("NFC", name)) == tmp_path / name


def test_the_exact_name_wins_where_both_forms_exist(tmp_path: Path) -> None:
    for name in (NFC, NFD):
        (tmp_path / name).touch()
    assert [path_on_disk(tmp_path / name).name for name in (NFC, NFD)] == [NFC, NFD]


def test_a_path_that_does_not_exist_is_unchanged(tmp_path: Path) -> None:
    for path in (tmp_path / NFD, Path(NFD) / "x", tmp_path / "no" / NFD):
        assert path_on_disk(path) == path
