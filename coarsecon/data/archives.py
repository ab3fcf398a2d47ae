"""Original files as they were published: a folder or a tar archive, read in memory and never unpacked."""

import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from coarsecon.errors import InputError

MAX_FILE_BYTES = 2**30


def read_files(place: Path, names: Collection[str]) -> dict[str, bytes]:
    """The content of the files called `names` in `place`: a folder, or a tar archive that holds one.

    Raises:
        InputError: a file is missing or larger than 1 GiB, the archive is broken, or one of its members is
            a link or leads out of the folder an archive is unpacked in.
    """
    content = _read_tar(place, names) if place.is_file() else _read_folder(place, names)
    missing = [name for name in names if name not in content]
    if missing:
        raise InputError(f"{place}: {', '.join(missing)} missing; fetch the files again")
    return content


def _read_folder(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    content = {}
    for name in names:
        file = folder / name
        if file.is_file():
            _check_size(file, file.stat().st_size)
            content[name] = file.read_bytes()
    return content


def _read_tar(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    content = {}
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                where = f"{archive}: the member {member.name}"
                if path.is_absolute() or ".." in path.parts:
                    raise InputError(f"{where} leads out of the archive's folder; fetch the archive again")
                if not (member.isfile() or member.isdir()):
                    raise InputError(f"{where} is a link or a device; fetch the archive again")
                _check_size(where, member.size)
                stream = tar.extractfile(member) if path.name in names else None
                if stream is not None:
                    content[path.name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{archive}: not a whole tar archive ({error}); fetch it again") from error
    return content


def _check_size(where: Path | str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise InputError(f"{where} has {size} bytes, more than any original file; fetch it again")
