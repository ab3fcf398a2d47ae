"""Journal of a label column: JSON lines that are appended and never rewritten, each with a checksum of all before it.

`DATA/labels/NAME/journal.jsonl` holds the entries, and `head.json` how many of them were acknowledged. An unfinished
last line that was not acknowledged comes from an interrupted write and is ignored; any other damage is an error, so no
entry is lost unnoticed.
"""

import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from coarsecon.data.prepared.schema import Record
from coarsecon.errors import InputError
from coarsecon.runtime.files import atomic_write, cannot_write
from coarsecon.runtime.journals import append_synced, sync_folder

JOURNAL, HEAD = "journal.jsonl", "head.json"

MAX_JOURNAL_BYTES = 256 * 2**20
MAX_HEAD_BYTES = 2**12

REMEDY = "restore the folder from a copy, or move it away and import the labels from a table"

LINE = re.compile(rb'\{"checksum":"([0-9a-f]{16})","entry":(.+)\}')


class Head(Record):
    """`head.json`: the number of acknowledged lines, and the checksum of the last one."""

    lines: int = Field(ge=1)
    checksum: str


@dataclass(frozen=True)
class Journal:
    """The intact content of a journal.

    Attributes:
        file: The file.
        lines: The JSON of each line.
        checksum: Checksum of the last line; "" if there is none.
        size: Length in bytes of these lines; what follows is an unfinished line.
        note: A sentence on damage that costs no acknowledged entry; "" if there is none.
    """

    file: Path
    lines: list[bytes]
    checksum: str = ""
    size: int = 0
    note: str = ""


def read_journal(folder: Path) -> Journal:
    """Read the journal in a folder; it has no lines if there is none.

    Raises:
        InputError: An acknowledged line is missing or damaged, or the journal cannot be read.
    """
    file = folder / JOURNAL
    head, note = _read_head(folder / HEAD)  # before the journal, which another process may append to meanwhile
    content = _read_regular(file, MAX_JOURNAL_BYTES) or b""
    acknowledged = 0 if head is None else head.lines
    lines: list[bytes] = []
    checksum, checksums, size = "", [""], 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+", content):
        found = LINE.fullmatch(line.removesuffix(b"\n"))
        if found is None or found[1].decode() != _checksum(checksum, found[2]):
            is_last = size + len(line) == len(content)
            if is_last and len(lines) >= acknowledged and (head is not None or not line.endswith(b"\n")):
                note = note or f"{file}: an unfinished last line is ignored, because a write was interrupted"
                break
            raise InputError(f"{file}, line {len(lines) + 1}", "does not match its checksum", REMEDY)
        checksum = found[1].decode()
        lines.append(found[2])
        checksums.append(checksum)
        size += len(line)
    if len(lines) < acknowledged:
        problem = f"ends after {len(lines):,} of {acknowledged:,} lines" if lines or content else "is missing or empty"
        raise InputError(file, problem, REMEDY)
    if head is not None and checksums[head.lines] != head.checksum:
        raise InputError(file, f"is not the journal that {HEAD} belongs to", REMEDY)
    return Journal(file, lines, checksum, size, note)


def append_lines(journal: Journal, entries: list[bytes]) -> Journal:
    """Append lines of JSON to a journal, and acknowledge them once they are on the disk. Needs the lock.

    Raises:
        InputError: The journal would become too large.
        CoarseconError: It cannot be written.
    """
    checksum, content = journal.checksum, b""
    for entry in entries:
        checksum = _checksum(checksum, entry)
        content += b'{"checksum":"%s","entry":%s}\n' % (checksum.encode(), entry)
    if journal.size + len(content) > MAX_JOURNAL_BYTES:
        problem = f"would become larger than {MAX_JOURNAL_BYTES // 2**20} MiB"
        raise InputError(journal.file, problem, "export the labels, and import them as a new column")
    try:
        journal.file.parent.mkdir(parents=True, exist_ok=True)
        size = append_synced(journal.file, journal.size, content)
        sync_folder(journal.file.parent)
    except OSError as error:
        raise cannot_write(journal.file, error) from error
    lines = [*journal.lines, *entries]
    atomic_write(journal.file.with_name(HEAD), Head(lines=len(lines), checksum=checksum).model_dump_json())
    return Journal(journal.file, lines, checksum, size)


def _checksum(before: str, entry: bytes) -> str:
    """Return the checksum of a line that follows the one with the checksum `before`."""
    return hashlib.sha256(before.encode() + entry).hexdigest()[:16]


def _read_head(file: Path) -> tuple[Head | None, str]:
    """Return the head, None if there is none; a damaged one only hides missing lines, so it is noted and ignored."""
    content = _read_regular(file, MAX_HEAD_BYTES)
    if content is None:
        return None, ""
    try:
        return Head.model_validate_json(content), ""
    except ValueError:
        return None, f"{file}: damaged and ignored; the next change of labels writes it again"


def _read_regular(file: Path, max_bytes: int) -> bytes | None:
    """Return the content of a file, None if there is none.

    Raises:
        InputError: It is a link or another special file, too large, or unreadable.
    """
    try:
        state = file.lstat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(file, "not a regular file", REMEDY)
        if state.st_size > max_bytes:
            raise InputError(file, f"larger than {max_bytes:,} bytes", REMEDY)
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", REMEDY) from error
