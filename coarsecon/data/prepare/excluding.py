"""Leave out the images that a table lists, such as the proposals of an audit."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coarsecon.data.formats.columns import ColumnChoice
from coarsecon.data.formats.names import canonical
from coarsecon.data.formats.tables import clean, read_table
from coarsecon.data.prepare.splitting import take_images
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter

EXCLUDE = "exclude"
"""The proposal of rows that count, in a table with a column `proposal`; others, such as "relabel", are skipped."""


@dataclass(frozen=True)
class Exclusions:
    """Images to leave out: their paths, each with the splits that the table names for it ("" for any split)."""

    table: Path
    splits: dict[str, set[str]]


def read_exclusions(table: Path) -> Exclusions:
    """Read a CSV or Parquet table with a column of paths, and optionally the columns `split` and `proposal`.

    Raises:
        InputError: The table cannot be read or has no column of paths.
    """
    opened = read_table(table)
    choice = ColumnChoice(table, opened.columns)
    path_column = choice.require("path", choice.choose("path"))
    found: dict[str, set[str]] = {}
    for _, row in opened.rows:
        if row[path_column] and row.get("proposal", EXCLUDE).casefold() == EXCLUDE:
            found.setdefault(_key(row[path_column]), set()).add(row.get("split", ""))
    return Exclusions(table, found)


def exclude_images(data: SourceData, exclusions: Exclusions, reporter: Reporter | None = None) -> SourceData:
    """Leave out images by their paths, with a note. The split only matters for a path that is in several splits.

    Raises:
        InputError: No image has such a path, or none would be left in a split.
    """
    if not exclusions.splits:
        (reporter or Reporter()).info(f"{exclusions.table}: lists no image to exclude")
        return data
    names = {name: [_key(each) for each in _names(name, split)] for name, split in data.splits.items()}
    places: dict[str, set[str]] = {}
    for name, keys in names.items():
        for key in keys:
            places.setdefault(key, set()).add(name)
    if missing := [key for key in exclusions.splits if key not in places]:
        first = f"{len(missing):,} of {len(exclusions.splits):,} images are not in {data.name}, such as {missing[0]}"
        if len(missing) == len(exclusions.splits):
            example = next(iter(places), "")
            raise InputError(exclusions.table, first, f"paths must be those of the source, such as {example}")
        (reporter or Reporter()).info(f"{exclusions.table}: {first}")

    def is_excluded(key: str, split: str) -> bool:
        wanted = exclusions.splits.get(key, set())
        return bool(wanted) and (len(places[key]) == 1 or "" in wanted or split in wanted)

    splits = {}
    for name, split in data.splits.items():
        kept = np.flatnonzero([not is_excluded(key, name) for key in names[name]])
        if not len(kept):
            raise InputError(exclusions.table, f"no image would be left in {name}", "list fewer images")
        splits[name] = split if len(kept) == len(names[name]) else take_images(split, kept)
    count = sum(len(split.images) - len(splits[name].images) for name, split in data.splits.items())
    note = f"{count:,} image{'s' * (count != 1)} of {exclusions.table.name} were left out."
    return replace(data, splits=splits, notes=" ".join(filter(None, [data.notes, note])))


def _names(name: str, split: SplitData) -> Iterable[str]:
    """Return the names that the images have once they are prepared."""
    return split.names or (f"{name}-{i:06d}" for i in range(len(split.images)))


def _key(path: str) -> str:
    return canonical(clean(path))
