"""Original files are read from a folder or an archive, and an archive with foul members is refused."""

import io
import tarfile
from pathlib import Path

import pytest

from coarsecon.data import archives
from coarsecon.data.archives import read_files
from coarsecon.errors import InputError


def make_tar(path: Path, members: dict[str, bytes], *more: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return path


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_the_files_of_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert read_files(tmp_path, ["a", "b"]) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_the_files_of_an_archive_are_read_and_others_left(tmp_path: Path, mode: str) -> None:
    archive = make_tar(tmp_path / "x.tar", {"set/a": b"1", "set/b": b"2" * 10_000, "set/c": b"3"}, mode=mode)
    assert read_files(archive, ["a", "b"]) == {"a": b"1", "b": b"2" * 10_000}
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(InputError, match=f"^{tmp_path}: b, c missing"):
        read_files(tmp_path, ["a", "b", "c"])
    archive = make_tar(tmp_path / "x.tar", {"set/a": b"1"})
    with pytest.raises(InputError, match=f"^{archive}: b missing"):
        read_files(archive, ["a", "b"])


@pytest.mark.parametrize("name", ["../a", "/etc/a", "set/../../a"])
def test_members_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    archive = make_tar(tmp_path / "x.tar", {name: b"1"})
    with pytest.raises(InputError, match="leads out"):
        read_files(archive, ["a"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = make_tar(tmp_path / "x.tar", {"set/b": b"1"}, member("set/a", kind, "b"))
    with pytest.raises(InputError, match="the member set/a is a link or a device"):
        read_files(archive, ["a"])


def test_a_truncated_archive_is_an_error(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "x.tar.gz", {"set/a": bytes(range(256)) * 2000})
    archive.write_bytes(archive.read_bytes()[:-500])
    with pytest.raises(InputError, match="not a whole tar archive"):
        read_files(archive, ["a"])


def test_what_is_no_archive_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.tar.gz"
    file.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(InputError, match="not a whole tar archive"):
        read_files(file, ["a"])


def test_files_beyond_the_limit_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 100)
    (tmp_path / "a").write_bytes(b"1" * 101)
    with pytest.raises(InputError, match="101 bytes"):
        read_files(tmp_path, ["a"])
    with pytest.raises(InputError, match="101 bytes"):
        read_files(make_tar(tmp_path / "x.tar", {"set/a": b"1" * 101}), ["a"])
