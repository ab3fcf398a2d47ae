"""Index the files inside uncompressed tar archives, which are then read in place."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from coarsecon.data.formats.images import Stored
from coarsecon.errors import InputError

GZIP = b"\x1f\x8b"


def stored_files(archive: Path | Stored) -> Iterator[Stored]:
    """Yield the regular files of a tar archive in order; the archive may be a file inside another.

    Raises:
        InputError: It is compressed, broken or truncated, or a member is a link or a device.
    """
    place = archive if isinstance(archive, Stored) else _whole(archive)
    try:
        with place.archive.open("rb", buffering=0) as file:  # only headers are read, a buffer would read more
            window = _Window(file, place.offset, place.length)
            if window.read(2) == GZIP:
                raise InputError(archive, "compressed, but its files are read in place", "gunzip it first")
            window.seek(0)
            with tarfile.open(fileobj=window, mode="r:") as tar:
                for member in tar:
                    if member.isdir():
                        continue
                    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                        raise InputError(
                            archive, f"the member {member.name} is a link or a device", "download it again"
                        )
                    if not 0 <= member.size <= place.length - member.offset_data:
                        raise InputError(archive, f"it ends before {member.name} does", "download it again")
                    yield Stored(place.archive, place.offset + member.offset_data, member.size, member.name)
                window.seek(tar.offset)  # tarfile mistakes half a header for the end
                if window.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise InputError(archive, "it ends too early", "download it again")
    except InputError:
        raise
    except Exception as error:  # a broken header raises various errors
        raise InputError(archive, f"not a complete tar archive ({error})", "download it again") from error


def _whole(archive: Path) -> Stored:
    try:
        return Stored(archive, 0, archive.stat().st_size, archive.name)
    except OSError as error:
        raise InputError(archive, f"cannot be read ({error.strerror})") from error


class _Window(io.RawIOBase):
    """A file object for `length` bytes of another file from `start` on."""

    def __init__(self, file: io.FileIO, start: int, length: int) -> None:
        self.file, self.start, self.length, self.place = file, start, length, 0

    def read(self, size: int = -1) -> bytes:
        rest = max(self.length - self.place, 0)
        self.file.seek(self.start + self.place)
        content = self.file.read(rest if size < 0 else min(size, rest))
        self.place += len(content)
        return content

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        self.place = place + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.length}[whence]
        return self.place

    def tell(self) -> int:
        return self.place
