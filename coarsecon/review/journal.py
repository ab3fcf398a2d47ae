"""Journal of a review: the proposal and one line per change, on disk before the change is shown."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from coarsecon.errors import InputError
from coarsecon.review.operations import FORMAT_VERSION, AnyOperation, Proposal, first_problem, parse_operation
from coarsecon.review.state import ReviewState
from coarsecon.runtime.documents import parse_json
from coarsecon.runtime.files import cannot_write
from coarsecon.runtime.journals import append_synced, sync_folder
from coarsecon.runtime.locks import acquire_or_raise

RESTORE = "restore the file from a copy, or remove the lines from there on"

MAX_BYTES = 2**30


def start_journal(path: Path, proposal: Proposal) -> None:
    """Write a new journal.

    Raises:
        InputError: It exists.
        CoarseconError: Writing fails.
    """
    if path.exists() or path.is_symlink():
        raise InputError(path, "exists", "choose another name for a new review")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            file.write(proposal.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_journal(path: Path) -> ReviewState:
    """Replay a journal. A last line that a killed process left incomplete was never shown, and is ignored.

    Raises:
        InputError: It cannot be read, or a line is no change or does not fit the lines before it.
    """
    return _replay(path)[0]


class Journal:
    """A review and its journal, which `journal_of` opens for changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state, self._size = _replay(path)

    def append(self, operation: AnyOperation) -> set[str]:
        """Write a change to disk, then apply it; return the coarse classes in which something changed.

        Raises:
            InputError: It does not fit the state.
            CoarseconError: Writing fails; then nothing has changed.
        """
        self.state.check(operation)
        try:
            self._size = append_synced(self.path, self._size, operation.model_dump_json().encode() + b"\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return self.state.apply(operation)


@contextmanager
def journal_of(path: Path) -> Iterator[Journal]:
    """Open a journal for changes by this process only.

    Raises:
        InputError: Another process has it open, or as `read_journal`.
    """
    busy = InputError(path, "another process has this review open", "use its page, or choose another name")
    try:
        lock = acquire_or_raise(path.with_name(f".{path.stem}.lock"), busy)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield Journal(path)
    finally:
        lock.release()


def _replay(path: Path) -> tuple[ReviewState, int]:
    """Return the state, and the size in bytes of the valid lines."""
    *lines, rest = _content(path).split(b"\n")
    size = sum(len(line) + 1 for line in lines)
    if rest and lines and _is_json(rest):  # saved by an editor that leaves out the last line feed
        lines.append(rest)
        size += len(rest)
    if not lines:
        raise InputError(path, "is not a journal of a review (no complete line)", RESTORE)
    state = _start(path, lines[0])
    for number, line in enumerate(lines[1:], start=2):
        origin = f"{path}, line {number}"
        try:
            state.apply(parse_operation(parse_json(line, origin, remedy=RESTORE), origin))
        except InputError as error:
            raise InputError(origin, error.problem, RESTORE) from None
    return state, size


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(path, f"larger than {MAX_BYTES // 2**20} MiB", "start a new review")
        return path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from None


def _start(path: Path, line: bytes) -> ReviewState:
    origin = f"{path}, line 1"
    value = parse_json(line, origin, remedy=RESTORE)
    version = value.get("format_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(path, f"a journal of format {version}, made by a newer coarsecon", "update coarsecon")
    try:
        return ReviewState(Proposal.model_validate(value))
    except ValidationError as error:
        raise InputError(origin, first_problem(error), RESTORE) from None
    except InputError as error:
        raise InputError(origin, error.problem, RESTORE) from None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
