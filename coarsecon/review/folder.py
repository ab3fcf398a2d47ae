"""Reviews of a run: one journal each, in the folder `review` of the run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coarsecon.errors import InputError
from coarsecon.report.spreadsheet import csv_file
from coarsecon.review.journal import Journal, journal_of, read_journal, start_journal
from coarsecon.review.proposal import find_proposal, read_proposal
from coarsecon.review.table import label_table
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.progress import Reporter

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def journal_path(run: RunFolder, name: str) -> Path:
    """Return the path of the journal of a review.

    Raises:
        InputError: The name cannot be the name of a file and of a label column.
        NotWritableError: A symbolic link leads out of the run.
    """
    if not NAME.fullmatch(name):
        raise InputError("name", f"{name!r:.80} is not a name of letters, digits, - and _")
    path = run.root / "review" / f"{name}.jsonl"
    run.check_owned(path)
    return path


@contextmanager
def open_or_start(run: RunFolder, name: str, table: Path | None, who: str, reporter: Reporter) -> Iterator[Journal]:
    """Open the review called `name` for changes, or start it from a table of proposed clusters.

    Args:
        table: The table; by default the newest one among the results of the run.

    Raises:
        InputError: There is no such table, the journal is not readable, another process has it open, or a table was
            given although the review exists.
    """
    path = journal_path(run, name)
    if not path.exists():
        table = table or find_proposal(run)
        start_journal(path, read_proposal(table, who))
        reporter.info(f"new review {name} of the clusters in {table}")
    elif table is not None:
        raise InputError("proposal", f"the review {name} exists, and started from another table", "choose another name")
    with journal_of(path) as journal:
        state = journal.state
        changes = f"{state.version:,} change{'s' * (state.version != 1)}"
        reporter.info(f"review {name}: {changes} to {len(state.images):,} images of {state.proposal.split}")
        yield journal


def export_labels(run: RunFolder, name: str, file: Path) -> None:
    """Write the labels of a review as a table; a page may be open meanwhile.

    Raises:
        InputError: There is no such review, or its journal is not readable.
        CoarseconError: The table cannot be written.
    """
    path = journal_path(run, name)
    if not path.exists():
        raise InputError(run.root, f"has no review {name}", f"`coarsecon review {run.root}` starts one")
    atomic_write(file, csv_file(label_table(read_journal(path))))
