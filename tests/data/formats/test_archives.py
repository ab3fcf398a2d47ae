"""Original files are read from a folder or an archive, and an archive with foul members is refused."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from coarsecon.data.formats import archives
from coarsecon.data.formats.archives import list_files, read_files
from coarsecon.data.formats.images import read_bytes
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
    with pytest.raises(InputError, match="the member set/a: a link or a device"):
        read_files(archive, ["a"])


def test_a_truncated_archive_is_an_error(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "x.tar.gz", {"set/a": bytes(range(256)) * 2000})
    archive.write_bytes(archive.read_bytes()[:-500])
    with pytest.raises(InputError, match="not a complete tar archive"):
        read_files(archive, ["a"])


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_changed_byte_in_a_compressed_archive_is_noticed(tmp_path: Path, mode: str) -> None:
    archive = make_tar(tmp_path / "x.tar", {f"set/{i}": bytes(range(i, 256)) * 3 for i in range(9)}, mode=mode)
    whole = archive.read_bytes()
    expected = read_files(archive, ["3"])
    for place in range(12, len(whole), 7):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            assert read_files(archive, ["3"]) == expected
        except InputError:
            continue


def test_an_archive_that_goes_on_behind_its_end_is_refused(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "x.tar", {"set/a": b"1"}, mode="w")
    archive.write_bytes(archive.read_bytes() + bytes(2 * archives.MAX_PADDING))
    with pytest.raises(InputError, match="data after its end"):
        read_files(archive, ["a"])


def test_what_is_no_archive_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.tar.gz"
    file.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(InputError, match="not a complete tar archive"):
        read_files(file, ["a"])


def test_files_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 101)
    with pytest.raises(InputError, match="101 bytes"):
        read_files(tmp_path, ["a"], max_bytes=100)
    with pytest.raises(InputError, match="101 bytes"):
        read_files(make_tar(tmp_path / "x.tar", {"set/a": b"1" * 101}), ["a"], max_bytes=100)


def make_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


MEMBERS = {"set/a/1.jpg": b"1" * 5000, "set/b.txt": b"two", "__MACOSX/set/._b.txt": b"", "set/.DS_Store": b"x"}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_folder_tar_and_zip_list_the_same_files(tmp_path: Path, compression: int) -> None:
    for name, content in MEMBERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for place in (
        tmp_path / "set",
        make_tar(tmp_path / "x.tar.gz", MEMBERS),
        make_zip(tmp_path / "x.zip", MEMBERS, compression),
    ):
        files = list_files(place, "set")
        assert {name: read_bytes(file) for name, file in files.items()} == {"a/1.jpg": b"1" * 5000, "b.txt": b"two"}


@pytest.mark.parametrize("name", ["../a", "/etc/a", "set/../../a", "set\\..\\..\\a"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_listed_members_that_lead_out_are_refused(tmp_path: Path, name: str, make: Callable) -> None:
    with pytest.raises(InputError, match="leads out"):
        list_files(make(tmp_path / "x", {name: b"1"}), "set")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("set/a", "set/a"), ("set/a", "a")])
def test_a_file_that_is_there_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as out:
        for i, name in enumerate(names):
            out.writestr(name, str(i))
    with pytest.raises(InputError, match=r"contains (set/)?a twice"):
        list_files(tmp_path / "x.zip", "set")


def test_a_zip_that_lies_about_a_size_does_not_swell(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", {"a": bytes(10**7)})
    archive.write_bytes(archive.read_bytes().replace((10**7).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(InputError, match="a: truncated or broken"):
        read_bytes(list_files(archive, "set")["a"])


def test_other_compressions_and_broken_zips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="compressed by an unknown method"):
        list_files(make_zip(tmp_path / "x.zip", {"a": b"1"}, zipfile.ZIP_LZMA), "set")
    whole = make_zip(tmp_path / "y.zip", {"a": bytes(range(256)) * 10, "b": b"2"}).read_bytes()
    for place in range(0, len(whole), 3):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]):
            (tmp_path / "y.zip").write_bytes(content)
            try:
                files = list_files(tmp_path / "y.zip", "set")
                found = {name: read_bytes(file) for name, file in files.items()}
            except InputError:
                continue
            assert found.get("a", bytes(range(256)) * 10) == bytes(range(256)) * 10


def test_a_tar_of_too_much_is_not_held(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MiB of files"):
        list_files(make_tar(tmp_path / "x.tar", {"a": b"1" * 60, "b": b"2" * 60}), "set", max_held_bytes=100)


def test_a_folder_without_end_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"1")
    assert sorted(list_files(tmp_path, "set"))[0] == "1.jpg"
    with pytest.raises(InputError, match="cannot be listed"):
        list_files(tmp_path / "none", "set")


def test_an_archive_that_spans_several_disks_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("images/0.jpg", b"image")
    content = (tmp_path / "images.zip").read_bytes()
    end = content.rindex(b"PK\x05\x06")
    locator = b"PK\x06\x07" + bytes(12) + (7).to_bytes(4, "little")
    (tmp_path / "images.zip").write_bytes(content[:end] + locator + content[end:])
    with pytest.raises(InputError, match="not a complete tar archive"):
        list_files(tmp_path / "images.zip", "images")
