"""Whole or not at all: what a write leaves behind when it succeeds and when it fails."""

from pathlib import Path

import pytest

from coarsecon.errors import CoarseconError
from coarsecon.files import atomic_folder, atomic_write


def test_a_write_makes_missing_parents_and_leaves_nothing_else(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a" / "b.txt", "größe")
    atomic_write(tmp_path / "a" / "b.txt", b"second")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"second"


def test_a_failed_write_keeps_the_old_file_and_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("old")
    with pytest.raises(CoarseconError, match="taken"):
        atomic_write(tmp_path / "taken", "text")
    with pytest.raises(CoarseconError, match="below"):
        atomic_write(tmp_path / "file" / "below", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_a_folder_appears_only_when_its_block_ends(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "part").write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "part").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_replaces_the_older_one_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("")
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_block_that_fails_leaves_the_older_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("kept")
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "out") as folder:
        folder.mkdir()
    assert (tmp_path / "out" / "old").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
