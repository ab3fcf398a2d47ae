"""Galleries and queries are found in the same way as images to prepare, at any depth."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coarsecon.data.formats.find import find_images
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter


class Lines(Reporter):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def info(self, text: str) -> None:
        self.seen.append(text)


@pytest.fixture
def tree(tmp_path: Path, save_image: Callable[..., Path]) -> Callable[..., Path]:
    """Makes a folder of images."""

    def make(*paths: str) -> Path:
        for seed, path in enumerate(paths):
            save_image(tmp_path / "photos" / path, (24, 20), seed)
        return tmp_path / "photos"

    return make


def names(root: Path, files: list[Path]) -> list[str]:
    return [str(file.relative_to(root)) for file in files]


def test_images_at_any_depth_are_found_without_those_of_systems(tree: Callable[..., Path]) -> None:
    root = tree("b.jpg", "a/1.jpg", "a/b/c/d/e/2.jpg", ".trash/x.jpg", "__MACOSX/a/1.jpg", "a/@eaDir/1.jpg/S.jpg")
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / "1.jpg").rename(root / "a" / "1")
    reporter = Lines()
    assert names(root, find_images([root], reporter)) == ["a/1", "a/b/c/d/e/2.jpg", "b.jpg"]
    assert reporter.seen == [f"{root}: skipped 1 file that is not an image: 1 .txt (a/notes.txt)"]


def test_links_give_each_image_once(tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree("a/1.jpg", "b/2.jpg")
    store = tmp_path / "store"
    store.mkdir()
    (root / "b" / "2.jpg").rename(store / "3.jpg")
    for name, target in (("0.jpg", root / "a" / "1.jpg"), ("c", store), ("d", store), ("up", root), ("b/x.jpg", "no")):
        (root / name).symlink_to(target)
    reporter = Lines()
    assert names(root, find_images([root], reporter)) == ["a/1.jpg", "c/3.jpg"]
    assert reporter.seen == [
        f"{root}: Skipped 1 broken link: b/x.jpg.",
        f"{root}: Skipped 1 link loop: up.",
    ]


def test_files_named_one_by_one_are_taken_as_they_are(tree: Callable[..., Path]) -> None:
    root = tree(".hidden.jpg", "a.jpg")
    assert find_images([root / "a.jpg", root / ".hidden.jpg"]) == [root / "a.jpg", root / ".hidden.jpg"]


def test_a_folder_is_found_in_any_unicode_form(tree: Callable[..., Path]) -> None:
    root = tree("cafe\u0301/1.jpg")
    assert names(root, find_images([root / "caf\u00e9"])) == ["cafe\u0301/1.jpg"]


def test_a_folder_without_images_is_an_error_that_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"no images in this folder; skipped 1 file that is not an image: 1 \.txt"):
        find_images([tmp_path])
    with pytest.raises(InputError, match="nowhere: no such image or folder"):
        find_images([tmp_path / "nowhere"])
