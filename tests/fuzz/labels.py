"""Damage journals and tables of labels many times: each ends in one clear error or a result, and no label is lost."""

import argparse
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from fuzz.mutations import change_json, mutate
from tiny import write_tiny_dataset

from coarsecon.data.labels.columns import add_labels, remove_class, rename_class, undo
from coarsecon.data.labels.table import import_labels, label_rows
from coarsecon.data.prepared.label_journal import append_lines, read_journal
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import CoarseconError

NAME = "reviewed"
KINDS = ("journal", "table")

Files = dict[Path, bytes]
Labels = dict[tuple[str, str], str]
"""Labels by split and path."""


class World(NamedTuple):
    """A dataset with a label column, the files of the column and their labels, and tables to import."""

    data: Path
    files: Files
    labels: Labels
    tables: Files


class Trial(NamedTuple):
    """One damaged file: what was done, how it ended, and what is wrong with that ("" if nothing is)."""

    what: str
    ending: str
    finding: str


def make_world(root: Path) -> World:
    """Write a dataset with a column of seven changes, and a table in three formats."""
    import pyarrow
    from pyarrow import parquet

    data = write_tiny_dataset(root / "data", train=24, test=12)
    for day in range(3):
        pairs = [(("train", i), f"kind {i % 5}") for i in range(day * 6, day * 6 + 10)]
        add_labels(data, NAME, pairs, "Ann", f"day {day}")
    add_labels(data, NAME, [(("test", 2), "grün"), (("train", 1), None)], "Bob")
    rename_class(data, NAME, "kind 1", "oak", "Ann")
    remove_class(data, NAME, "kind 2", "Ann")
    undo(data, NAME, "Ann", entry=1)
    rows = [(f"train-{i:06d}", f"kind {i % 3}", "train") for i in range(12)] + [("test-000001", "elm", "test")]
    for suffix, separator in (("csv", ","), ("tsv", "\t")):
        lines = [separator.join(row) for row in (("path", "label", "split"), *rows)]
        (root / f"table.{suffix}").write_text("\n".join(lines) + "\n")
    columns = dict(zip(("path", "label", "split"), map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pyarrow.table(columns), root / "table.parquet")
    tables = {file: file.read_bytes() for file in sorted(root.glob("table.*"))}
    return World(data, column_files(data), read_labels(data), tables)


def column_files(data: Path) -> Files:
    return {file: file.read_bytes() for file in sorted((data / "labels" / NAME).iterdir())}


def read_labels(data: Path) -> Labels:
    return {(split, path): label for path, label, split in label_rows(open_dataset(data), NAME)}


def restore(files: Files) -> None:
    for file, content in files.items():
        file.write_bytes(content)


def run_trial(kind: str, seed: int, world: World) -> Trial:
    """Run one seeded trial of a kind; the files are restored afterwards."""
    rng = random.Random(f"{kind} {seed}")
    try:
        return (_journal if kind == "journal" else _table)(rng, world, f"{kind}, seed {seed}")
    finally:
        restore(world.files | world.tables)


def _journal(rng: random.Random, world: World, what: str) -> Trial:
    """Damage the journal or its head, or forge an entry with right checksums; then read, and add a label."""
    is_forged = rng.random() < 0.4
    if is_forged:
        done = _forge(rng, world)
    else:
        file = rng.choice(list(world.files))
        done = f"{mutate(file, rng)} {file.name}"
    damaged = column_files(world.data)

    def add() -> None:
        before = read_labels(world.data)
        if not is_forged:
            assert before == world.labels, "labels changed without an error"
        add_labels(world.data, NAME, [(("train", 23), "new")], "Ann")
        assert read_labels(world.data) == before | {("train", "train-000023"): "new"}, "a label was lost"

    ending, finding = _ending(add)
    if not finding and ending != "result" and column_files(world.data) != damaged:
        finding = "an error changed the files"
    return Trial(f"{what}: {done}", ending, finding)


def _forge(rng: random.Random, world: World) -> str:
    """Change an entry as `change_json` does, and write the journal with the checksums of that."""
    folder = world.data / "labels" / NAME
    lines = read_journal(folder).lines
    number = rng.randrange(len(lines))
    for file in world.files:
        file.unlink()
    forged = json.dumps(json.loads(change_json(lines[number], rng))).encode()
    append_lines(read_journal(folder), [*lines[:number], forged, *lines[number + 1 :]])
    return f"change entry {number}"


def _table(rng: random.Random, world: World, what: str) -> Trial:
    """Damage a table, and import it."""
    file = rng.choice(list(world.tables))
    done = f"{mutate(file, rng)} {file.name}"
    replace = rng.random() < 0.3

    def read() -> None:
        import_labels(world.data, file, NAME, "Ann", replace=replace, skip_unknown=rng.random() < 0.5)
        if not replace:
            assert read_labels(world.data).keys() >= world.labels.keys(), "a label was lost"
        undone = undo(world.data, NAME, "Ann") if column_files(world.data) != world.files else None
        assert undone is None or read_labels(world.data) == world.labels, "an import cannot be undone"

    ending, finding = _ending(read)
    if not finding and ending != "result" and column_files(world.data) != world.files:
        finding = "an error changed the labels"
    return Trial(f"{what}: {done}", ending, finding)


def _ending(action: Callable[[], None]) -> tuple[str, str]:
    """Return how an action ended, and what is wrong with that."""
    try:
        action()
    except CoarseconError as error:
        message = str(error)
        problem = "the error has more than two lines" if len(message.splitlines()) > 2 else ""
        return type(error).__name__, problem
    except AssertionError as error:
        return "result", str(error)
    except Exception as error:
        return type(error).__name__, f"{type(error).__name__}: {error}"[:500]
    return "result", ""


def trials(kind: str, numbers: range, world: World) -> Iterator[Trial]:
    """Run the trials of a kind with these numbers."""
    return (run_trial(kind, number, world) for number in numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="number of journals, and of tables")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    options = parser.parse_args()
    found = 0
    with TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        for kind in KINDS:
            endings: Counter[str] = Counter()
            for trial in trials(kind, range(options.first, options.first + options.count), world):
                endings[trial.ending] += 1
                if trial.finding:
                    found += 1
                    print(f"{trial.what}\n    {trial.finding}", flush=True)
            print(f"{sum(endings.values()):,} {kind}s: {dict(sorted(endings.items()))}", flush=True)
    print(f"{found} findings")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
