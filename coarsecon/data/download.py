"""Fetching a public archive once: shown as it comes, checked, and put in place only when whole."""

import hashlib
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import URLError
from uuid import uuid4

from coarsecon.errors import CoarseconError, InputError
from coarsecon.reporting import Reporter

CHUNK = 2**20


def download(url: str, target: Path, *, md5: str, reporter: Reporter) -> Path:
    """Fetch `url` to the file `target`, unless it is there already, and return `target`.

    Raises:
        InputError: the link cannot be reached, or the file that lies at `target` has another md5.
        CoarseconError: what came has another md5, or the disk refuses it.
    """
    if target.exists():
        with target.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != md5:
            raise InputError(f"{target}: md5 {found}, but {md5} was published; delete the file and run again")
        return target
    partial = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            target.parent.mkdir(parents=True, exist_ok=True)
            found = _receive(response, partial, reporter)
        if found != md5:
            raise CoarseconError(f"{url}: what came has md5 {found}, but {md5} was published; try again later")
        partial.replace(target)
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        raise InputError(f"{url} cannot be fetched ({error}); fetch it by hand and put it at {target}") from error
    except OSError as error:
        raise CoarseconError(f"{target} cannot be written ({error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _receive(response: HTTPResponse, file: Path, reporter: Reporter) -> str:
    """Write the body of `response` to `file` and return its md5."""
    digest = hashlib.md5(usedforsecurity=False)
    length = response.headers.get("Content-Length")
    chunks = -(-int(length) // CHUNK) if length else None
    with (
        file.open("wb") as out,
        reporter.progress(f"fetching {response.url}", chunks, unit="MiB") as progress,
    ):
        while chunk := response.read(CHUNK):
            digest.update(chunk)
            out.write(chunk)
            progress.advance()
    return digest.hexdigest()
