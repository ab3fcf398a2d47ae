"""Files in tar archives are found where they lie, and what is no whole tar of plain files is refused."""

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import pytest

from coarsecon.data.formats.tars import stored_files
from coarsecon.errors import InputError

FILES = {"a.JPEG": b"first", "folder/b.JPEG": bytes(range(256)) * 5, "empty": b"", "last" * 50: b"x" * 513}


def make_tar(files: dict[str, bytes], *more: tarfile.TarInfo, format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member)
    return out.getvalue()


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_read_where_they_lie(tmp_path: Path, format: int) -> None:
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    archive = tmp_path / "x.tar"
    files = FILES if format != tarfile.USTAR_FORMAT else dict(list(FILES.items())[:3])
    archive.write_bytes(make_tar(files, folder, format=format))
    found = list(stored_files(archive))
    assert {file.name: file.read() for file in found} == files
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301


def test_so_are_those_of_a_tar_inside_a_tar(tmp_path: Path) -> None:
    archive = tmp_path / "outer.tar"
    archive.write_bytes(make_tar({"one.tar": make_tar({"x": b"1"}), "two.tar": make_tar(FILES)}))
    _, two = stored_files(archive)
    assert {file.name: file.read() for file in stored_files(two)} == FILES


def test_indexing_reads_headers_only(tmp_path: Path) -> None:
    """A sparse file of 40 GB stands for a large member."""
    member = tarfile.TarInfo("large")
    member.size = 40 * 2**30
    archive = tmp_path / "x.tar"
    with archive.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.seek(member.size, io.SEEK_CUR)
        file.write(make_tar({"small": b"after"}))
    assert [(file.name, file.length) for file in stored_files(archive)] == [("large", member.size), ("small", 5)]


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, type: bytes) -> None:
    member = tarfile.TarInfo("odd")
    member.type, member.linkname = type, "/etc/passwd"
    (tmp_path / "x.tar").write_bytes(make_tar(FILES, member))
    with pytest.raises(InputError, match=r"x\.tar: the member odd is a link or a device"):
        list(stored_files(tmp_path / "x.tar"))


def test_compressed_archives_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(gzip.compress(make_tar(FILES)))
    with pytest.raises(InputError, match=r"x\.tar: compressed.*gunzip it first"):
        list(stored_files(tmp_path / "x.tar"))


def test_truncated_and_foreign_files_are_one_clear_error(tmp_path: Path) -> None:
    whole, archive = make_tar(FILES), tmp_path / "x.tar"
    for content in (whole[:700], whole[:1300], whole[:100], b"", b"not a tar" * 1000):
        archive.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.tar: .*; download it again"):
            list(stored_files(archive))
    with pytest.raises(InputError, match="none: cannot be read"):
        list(stored_files(tmp_path / "none"))


def test_a_member_does_not_reach_out_of_the_inner_archive(tmp_path: Path) -> None:
    inner = make_tar({"x": b"1" * 600})[:1024]
    (tmp_path / "outer.tar").write_bytes(make_tar({"inner.tar": inner, "secret": b"2" * 5000}))
    first, _ = stored_files(tmp_path / "outer.tar")
    with pytest.raises(InputError, match=r"inner\.tar: it ends before x does"):
        list(stored_files(first))
