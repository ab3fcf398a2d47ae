"""Folders are walked as a user sees them, with links followed and no file opened."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coarsecon.data.formats.walk import Entry, is_system_name, visible_files, walk
from coarsecon.errors import InputError


def test_files_and_folders_come_sorted_with_the_folder_first(tree: Callable[..., Path]) -> None:
    assert list(walk(tree("b/1", "a/c/2", "0"))) == [
        Entry(("0",), "file"),
        Entry(("a",), "folder"),
        Entry(("a", "c"), "folder"),
        Entry(("a", "c", "2"), "file"),
        Entry(("b",), "folder"),
        Entry(("b", "1"), "file"),
    ]


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "$RECYCLE.BIN", "System Volume Information", ".thumbnails", "lost+found", ".Trashes", "#recycle",
     ".Spotlight-V100", ".AppleDouble", "Thumbs.db", "desktop.ini", "._1.jpg", "SYNOPHOTO_THUMB_M.jpg", "__MACOSX",
     ".ipynb_checkpoints", "Icon\r", "@__thumb", "LOST.DIR", ".DS_Store"],
)  # fmt: skip
def test_names_of_systems_are_known(name: str) -> None:
    assert is_system_name(name)


@pytest.mark.parametrize("name", ["dogs", "thumbnails", "recycled", "@home", "desktop.jpg", "lost and found", "_"])
def test_names_of_users_are_kept(name: str) -> None:
    assert not is_system_name(name)


def test_links_are_followed_unless_they_contain_themselves(tree: Callable[..., Path]) -> None:
    root = tree("a/1", "b/2")
    (root / "a" / "up").symlink_to(root)
    (root / "c").symlink_to(root / "b")
    (root / "dangling").symlink_to(root / "nowhere")
    (root / "self").symlink_to(root / "self")
    found = {entry.path: entry.kind for entry in walk(root)}
    assert found == {
        "a": "folder", "a/1": "file", "a/up": "link loop", "b": "folder", "b/2": "file", "c": "folder", "c/2": "file",
        "dangling": "broken link", "self": "broken link",
    }  # fmt: skip


def test_each_folder_is_entered_once_where_that_is_asked(tree: Callable[..., Path]) -> None:
    root = tree(*(f"{name}/1" for name in "abcdef"))
    for one in "abcdef":
        for other in "abcdef":
            (root / one / f"to-{other}").symlink_to(root / other)
    files = [root.joinpath(*entry.parts).resolve() for entry in walk(root, once=True) if entry.kind == "file"]
    assert sorted(files) == sorted(root / name / "1" for name in "abcdef")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert list(walk(tmp_path)) == [Entry(("pipe.jpg",), "special file")]


def test_the_depth_can_be_limited(tree: Callable[..., Path]) -> None:
    root = tree("0", "a/1", "a/b/2")
    assert [entry.path for entry in walk(root, max_depth=1) if entry.kind == "file"] == ["0", "a/1"]
    assert visible_files(root) == [root / "0"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: cannot be listed"):
        list(walk(tmp_path / "none"))
