"""Download a public file: resumable, verified, and moved into place once complete."""

import hashlib
import os
import re
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from io import BufferedRandom
from pathlib import Path
from urllib.error import HTTPError, URLError

from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.files import open_to_append
from coarsecon.runtime.locks import waiting_lock
from coarsecon.runtime.progress import Reporter

CHUNK = 2**20
MAX_BYTES = 8 * 2**30
TIMEOUT = 30.0


class _BrokenError(Exception):
    """The server cannot be reached, or the connection broke; the received part is kept."""


def download(url: str, target: Path, *, md5: str, reporter: Reporter) -> Path:
    """Download `url` (http or https) to the file `target`, unless it exists, and return `target`.

    The part of an interrupted download is kept next to it as `NAME.coarsecon-part`, and the next call resumes it. Two
    processes that download the same file wait for each other.

    Raises:
        InputError: The server cannot be reached, the connection breaks, a redirect leads to another protocol, or the
            existing file at `target` has another MD5.
        CoarseconError: The received file has another MD5 or is larger than 8 GiB, or it cannot be written.
    """
    new_folders = [folder for folder in target.parents if not folder.exists()]
    try:
        if target.exists():
            return _checked(target, md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(target.with_name(f"{target.name}.coarsecon-part"), target) as part:
            if target.exists():  # another process was first
                return _checked(target, md5)
            _fetch_right(url, part, md5, reporter)
            Path(part.name).replace(target)
    except _BrokenError as error:
        hint = f"run again to resume, or download it manually to {target}"
        raise InputError(url, f"cannot be downloaded ({error})", hint) from error
    except OSError as error:
        raise CoarseconError(target, f"cannot be written ({error})") from error
    finally:
        for folder in new_folders:
            with suppress(OSError):  # it holds the received part
                folder.rmdir()
    return target


def _checked(target: Path, md5: str) -> Path:
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        raise InputError(target, f"md5 {found}, but {md5} was published", "delete the file and run again")
    return target


@contextmanager
def _exclusive(path: Path, target: Path) -> Iterator[BufferedRandom]:
    """Open the file at `path` to read and append, after waiting for other processes that download `target`.

    It is removed afterwards if it is empty.
    """
    with waiting_lock(target.with_name(f".{target.name}.lock")):
        try:
            with open_to_append(path) as file:
                yield file
        finally:
            if path.is_file() and not path.is_symlink() and path.stat().st_size == 0:
                path.unlink()


def _size(file: BufferedRandom) -> int:
    file.flush()
    return os.fstat(file.fileno()).st_size


def _fetch_right(url: str, part: BufferedRandom, md5: str, reporter: Reporter) -> None:
    """Download the rest of `part` and verify it; a wrong file of an earlier attempt is downloaded again, once."""
    was_begun = _size(part) > 0
    _fetch(url, part, reporter)
    part.seek(0)
    found = hashlib.file_digest(part, "md5").hexdigest()
    if found == md5:
        return
    part.truncate(0)
    if not was_begun:
        raise CoarseconError(url, f"what came has md5 {found}, but {md5} was published", "try again later")
    reporter.info(f"{part.name} has other content; downloading it from the start")
    _fetch_right(url, part, md5, reporter)


def _fetch(url: str, part: BufferedRandom, reporter: Reporter) -> None:
    """Append to `part` until it is complete; a broken connection is resumed as long as that brings more."""
    reached = _size(part)
    while True:
        try:
            return _receive(url, part, reporter)
        except _BrokenError:
            if _size(part) <= reached:
                raise
            reached = _size(part)


def _receive(url: str, part: BufferedRandom, reporter: Reporter) -> None:
    have = _size(part)
    with _opened(url, have) as response:
        if response is None:  # there are no further bytes
            return
        if have and not _goes_on(response, have, part):
            part.truncate(0)
            have = 0
        total = None if response.length is None else have + response.length
        _check_room(url, total, have, part)
        with reporter.progress(f"downloading {url}", total and -(-total // CHUNK), unit="MiB") as progress:
            if have:
                progress.advance(have // CHUNK)
            while chunk := _read(response):
                have += len(chunk)
                _check_room(url, have, have, part)
                part.write(chunk)
                progress.advance()
    if total is not None and have < total:
        raise _BrokenError(f"the connection broke after {have / CHUNK:.1f} of {total / CHUNK:.1f} MiB")


@contextmanager
def _opened(url: str, start: int) -> Iterator[HTTPResponse | None]:
    """Request `url` from byte `start` on; None if there is no such byte."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = _opener().open(request, timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            if error.code != 416 or not start:
                raise _BrokenError(error) from error
        yield None
        return
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise _BrokenError(getattr(error, "reason", error)) from error
    with response:
        yield response


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https only, also after redirects: no file:, ftp: or data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.UnknownHandler, urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler, urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _goes_on(response: HTTPResponse, start: int, part: BufferedRandom) -> bool:
    """Return whether the response begins at byte `start`; a server may ignore the range and send the complete file."""
    place = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status == 206 and (place is None or int(place[1]) != start):
        part.truncate(0)
        raise _BrokenError("the server sent another range than requested")
    return response.status == 206


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (HTTPException, OSError) as error:
        raise _BrokenError(error) from error


def _check_room(url: str, total: int | None, have: int, part: BufferedRandom) -> None:
    """Raise CoarseconError if `total` bytes, `have` of which are received, exceed the limit or the free disk space."""
    if total is not None and total > MAX_BYTES:
        part.truncate(0)
        raise CoarseconError(url, f"more than {MAX_BYTES / 2**30:.0f} GiB, larger than any original file")
    missing = 0 if total is None else total - have
    free = shutil.disk_usage(Path(part.name).parent).free
    if missing > free:
        raise CoarseconError(
            part.name, f"{missing / CHUNK:,.0f} MiB are to come, but the disk has {free / CHUNK:,.0f} MiB left"
        )
