"""Whole or not at all: what a write leaves behind when it succeeds and when it fails."""

import os
import shutil
from pathlib import Path

import pytest
from kills import killed_at_every_change

from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.file_sets import current_file, current_files, files_together, recover_files
from coarsecon.runtime.files import LEFTOVER_SECONDS, atomic_write
from coarsecon.runtime.folders import atomic_folder, recover_folder, resumable_folder

NAMES = ("encoder.safetensors", "encoder.json", "checkpoints/last.pt")


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


def test_a_write_removes_what_killed_writes_of_that_file_left_long_ago(tmp_path: Path) -> None:
    old, young, other = (
        tmp_path / f".{name}.{digit * 32}.partial" for name, digit in (("a.txt", "0"), ("a.txt", "1"), ("b.txt", "0"))
    )
    for file in (old, young, other, tmp_path / ".a.txt.mine.partial"):
        file.write_text("")
        if file != young:
            os.utime(file, (1, file.stat().st_mtime - LEFTOVER_SECONDS - 1))
    atomic_write(tmp_path / "a.txt", "text")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.txt", young.name, other.name, ".a.txt.mine.partial"}


def write_set(root: Path, content: str) -> None:
    with files_together(root) as folder:
        for name in NAMES:
            atomic_write(folder / name, content)


def read_set(root: Path) -> set[str]:
    return {current_file(root, name).read_text() for name in NAMES}


def test_a_set_of_files_that_is_killed_anywhere_is_read_as_the_old_or_the_new_one(tmp_path: Path) -> None:
    root, seen = tmp_path / "run", set()

    def prepare() -> None:
        shutil.rmtree(root, ignore_errors=True)
        write_set(root, "old")

    for change in killed_at_every_change(prepare, lambda: write_set(root, "new")):
        found = read_set(root)  # as a reader that must not write
        assert len(found) == 1, change
        assert {path.read_text() for path in current_files(root, "encoder.*")} == found
        seen |= found
        recover_files(root)
        assert {(root / name).read_text() for name in NAMES} == found, change
        write_set(root, "newer")
        assert {(root / name).read_text() for name in NAMES} == {"newer"}, change
        assert {path.name for path in root.rglob("*") if path.is_file()} == {Path(name).name for name in NAMES}, change
    assert seen == {"old", "new"}


def test_a_set_of_files_replaces_files_that_are_links_or_on_a_disk_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user.bin").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / NAMES[0]).symlink_to(tmp_path / "user.bin")
    write_set(tmp_path / "run", "old")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_set(tmp_path / "run", "new")
    assert read_set(tmp_path / "run") == {"new"}
    assert (tmp_path / "user.bin").read_text() == "kept"


def test_a_set_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    write_set(tmp_path, "old")
    with pytest.raises(CoarseconError, match="missing"), files_together(tmp_path) as folder:
        (folder / NAMES[0]).write_bytes(Path(tmp_path, "missing").read_bytes())
    assert read_set(tmp_path) == {"old"}
    assert {path.name for path in tmp_path.iterdir()} == {"encoder.safetensors", "encoder.json", "checkpoints"}


def write_folder(path: Path, content: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "a").write_text(content)
        (folder / "below").mkdir()
        (folder / "below" / "b").write_text(content)


def read_folder(path: Path) -> set[str]:
    return {(path / name).read_text() for name in ("a", "below/b")}


def test_a_folder_whose_replacement_is_killed_anywhere_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    out, seen = tmp_path / "parent" / "out", set()

    def prepare() -> None:
        shutil.rmtree(out.parent, ignore_errors=True)
        write_folder(out, "old")

    for change in killed_at_every_change(prepare, lambda: write_folder(out, "new")):
        place = recover_folder(out)
        assert place == out
        found = read_folder(place)
        assert len(found) == 1, change
        seen |= found
        write_folder(out, "newer")
        assert read_folder(out) == {"newer"}, change
        assert [path.name for path in out.parent.iterdir()] == ["out"], change
        assert {path.name for path in out.iterdir()} == {"a", "below"}, change
    assert seen == {"old", "new"}


def test_a_folder_is_found_where_it_was_set_aside_if_it_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_folder(out, "old")
    (out / ".coarsecon-temporary").touch()
    out.rename(tmp_path / ".out.replaced")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    assert read_folder(recover_folder(out)) == {"old"}


def test_a_link_to_a_folder_is_followed_and_stays(tmp_path: Path) -> None:
    write_folder(tmp_path / "disk" / "real", "old")
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "real")
    write_folder(tmp_path / "out", "new")
    assert (tmp_path / "out").is_symlink()
    assert read_folder(tmp_path / "disk" / "real") == {"new"}


@pytest.mark.parametrize("name", [".out.partial", ".out.replaced"])
@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_what_a_user_keeps_under_the_name_of_a_temporary_folder_survives(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    if kind == "folder":
        (tmp_path / "mine").rename(tmp_path / name)
    elif kind == "link":
        (tmp_path / name).symlink_to(tmp_path / "mine")
    else:
        (tmp_path / name).write_text("mine")
    for folder in (atomic_folder(tmp_path / "out"), resumable_folder(tmp_path / "out", keep=lambda: False)):
        with pytest.raises(InputError, match="not a temporary folder of coarsecon"), folder:
            pass
    kept = tmp_path / name if kind == "file" else tmp_path / name / "notes.txt"
    assert kept.read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        write_folder(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    with (
        atomic_folder(tmp_path / "out"),
        pytest.raises(InputError, match="out: another process writes there"),
        atomic_folder(tmp_path / "out"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
