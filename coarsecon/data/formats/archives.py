"""Read published folders, zip and tar archives in place, without unpacking them."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from coarsecon.data.formats.images import ImageFile, Stored, read_bytes
from coarsecon.data.formats.walk import is_system_name, walk
from coarsecon.errors import InputError

MAX_FILE_BYTES = 2**30
MAX_HELD_BYTES = 2**30
"""Bound on the images of a compressed tar, which are kept in memory."""
MAX_PADDING = 2**20
"""Bound on the zeros after the end of a tar."""
MAX_DEPTH = 4
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
"""Errors of `zipfile` on broken archives, including OSError and ValueError for offsets outside the file."""
AGAIN = "download the archive again"


class TarMember(NamedTuple):
    """A file in a tar archive."""

    path: PurePosixPath
    size: int
    content: IO[bytes]


@dataclass(frozen=True)
class ZipMember(Stored):
    """A file in a zip archive: `size` bytes with the checksum `crc`, possibly deflated."""

    size: int
    is_deflated: bool
    crc: int

    def read(self) -> bytes:
        """Return the content of the file; raises InputError if it is damaged."""
        packed = super().read()
        try:
            content = (
                zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self.size + 1) if self.is_deflated else packed
            )
        except zlib.error as error:
            raise InputError(self, f"broken ({error})", AGAIN) from error
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise InputError(self, "truncated or broken", AGAIN)
        return content


def read_files(place: Path, names: Collection[str], *, max_bytes: int = MAX_FILE_BYTES) -> dict[str, bytes]:
    """Return the content of the files `names` in `place`, a folder or a tar archive.

    Raises:
        InputError: A file is missing or larger than `max_bytes`, the archive is broken, or one of its members is a
            link or leads out of the archive.
    """
    if place.is_file():
        with opened_tar(place, limit=max_bytes) as members:
            content = {member.path.name: member.content.read() for member in members if member.path.name in names}
    else:
        content = _read_folder(place, names, max_bytes)
    missing = [name for name in names if name not in content]
    if missing:
        raise InputError(place, f"{', '.join(missing)} missing", "download the files again")
    return content


def _read_folder(folder: Path, names: Collection[str], max_bytes: int) -> dict[str, bytes]:
    content = {}
    for name in names:
        file = folder / name
        if file.is_file():
            _check_size(file, file.stat().st_size, max_bytes)
            content[name] = file.read_bytes()
    return content


def list_files(place: Path, folder: str, *, max_held_bytes: int = MAX_HELD_BYTES) -> dict[str, ImageFile]:
    """Return the visible files of a folder, or of a zip or tar archive of the folder `folder`, by their path with /.

    Files of a zip are read on access; those of a tar, which is read sequentially, are held in memory, up to
    `max_held_bytes`.

    Raises:
        InputError: `place` is missing or broken, or an archive contains a link, a file twice, one that leads out of the
            archive, or one that is too large.
    """
    if not place.is_file():
        found = walk(place, max_depth=MAX_DEPTH)
        return {entry.path: place.joinpath(*entry.parts) for entry in found if entry.kind == "file"}
    if is_zip(place):
        return below(place, folder, _zip_members(place))
    with opened_tar(place) as members:
        return below(place, folder, hold(place, members, max_held_bytes))


def is_zip(file: Path) -> bool:
    """Return whether a file ends like a zip archive; `zipfile` raises if its end is broken or spans several disks."""
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:
        return False


def below(place: Path, folder: str, members: Iterable[tuple[PurePosixPath, ImageFile]]) -> dict[str, ImageFile]:
    """Return the visible members by their path below the folder `folder`."""
    files: dict[str, ImageFile] = {}
    for path, file in members:
        parts = path.parts[path.parts.index(folder) + 1 :] if folder in path.parts else path.parts
        if any(map(is_system_name, parts)):
            continue
        if files.setdefault("/".join(parts), file) is not file:
            raise InputError(place, f"contains {path} twice", AGAIN)
    return files


def read_lines(place: Path, files: Mapping[str, ImageFile], name: str) -> list[str]:
    """Return the lines of a small text file among `files`, which `list_files` returned for `place`.

    Raises:
        InputError: It is missing, unreadable or not text in UTF-8.
    """
    if name not in files:
        raise InputError(place, f"{name} missing", "download the files again")
    try:
        return read_bytes(files[name]).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(place, f"{name} is not readable text ({error})", "download the files again") from error


def hold(
    archive: Path, members: Iterable[TarMember], max_bytes: int = MAX_HELD_BYTES
) -> list[tuple[PurePosixPath, bytes]]:
    """Read the members of a tar into memory, up to a bound; `archive` is for errors."""
    files, total = [], 0
    for member in members:
        total += member.size
        if total > max_bytes:
            raise InputError(archive, f"more than {max_bytes // 2**20} MiB of files", AGAIN)
        files.append((member.path, member.content.read()))
    return files


@contextmanager
def opened_tar(
    archive: Path, stream: IO[bytes] | None = None, limit: int | None = None
) -> Iterator[Iterator[TarMember]]:
    """Iterate over the files in a tar archive, each to be read before the next.

    None may be larger than `limit` bytes (None: 1 GiB). `stream` is the content of a tar inside `archive`. Errors of
    the archive become an InputError in the `with` block.
    """
    try:
        with (
            nullcontext(stream) if stream else archive.open("rb") as packed,
            _unpacked(packed) as content,
            tarfile.open(fileobj=content, mode="r|") as tar,
        ):
            yield _members(archive, tar, content, limit or MAX_FILE_BYTES)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(archive, f"not a complete tar archive ({error})", "download it again") from error


def _unpacked(packed: Any) -> AbstractContextManager[IO[bytes]]:
    """Return the decompressed content of a file, by its first bytes."""
    start = packed.peek(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed)  # type: ignore[return-value]
    if start.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(packed)
    return bz2.BZ2File(packed) if start.startswith(b"BZh") else nullcontext(packed)


def _members(archive: Path, tar: tarfile.TarFile, content: IO[bytes], limit: int) -> Iterator[TarMember]:
    for member in tar:
        path, where = _inside(archive, member.name)
        if not (member.isfile() or member.isdir()):
            raise InputError(where, "a link or a device", AGAIN)
        _check_size(where, member.size, limit)
        if file := tar.extractfile(member):
            yield TarMember(path, member.size, file)
    # tarfile mistakes a broken header for the end; the checksum of the compressed data is at its true end
    if len(content.read(MAX_PADDING)) == MAX_PADDING:
        raise InputError(archive, "not a complete tar archive (data after its end)", "download it again")


def _zip_members(archive: Path) -> Iterator[tuple[PurePosixPath, ZipMember]]:
    try:
        with zipfile.ZipFile(archive) as zipped, archive.open("rb") as file:
            for member in zipped.infolist():
                path, where = _inside(archive, member.filename)
                if member.is_dir():
                    continue
                if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InputError(where, "encrypted, or compressed by an unknown method", AGAIN)
                _check_size(where, member.file_size, MAX_FILE_BYTES)
                file.seek(member.header_offset)
                header = file.read(30)
                start = member.header_offset + 30 + sum(int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
                is_deflated = member.compress_type == zipfile.ZIP_DEFLATED
                yield (
                    path,
                    ZipMember(
                        archive, start, member.compress_size, str(path), member.file_size, is_deflated, member.CRC
                    ),
                )
    except ZIP_ERRORS as error:
        raise InputError(archive, f"not a complete zip archive ({error})", "download it again") from error


def _inside(archive: Path, name: str) -> tuple[PurePosixPath, str]:
    """Return the path of a member, which must not lead out of the archive, and its name in errors."""
    path, where = PurePosixPath(name.replace("\\", "/")), f"{archive}: the member {name}"
    if path.is_absolute() or ".." in path.parts:
        raise InputError(where, "leads out of the folder of the archive", AGAIN)
    return path, where


def _check_size(where: Path | str, size: int, limit: int) -> None:
    if size > limit:
        raise InputError(where, f"{size} bytes, larger than any original file", "download it again")
