"""Label tables of the project: the folder `coarse_labels`, next to the package or, once installed, inside it."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of `coarse_labels/NAME.csv` as dictionaries."""
    folder = next(place for place in (PACKAGE / "coarse_labels", PACKAGE.parent / "coarse_labels") if place.is_dir())
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def class_names(rows: Iterable[Mapping[str, str]], level: str = "coarse") -> list[str]:
    """Return the class names of a level of a label table, in the order of their numbers."""
    names = {int(row[level]): row[f"{level}_name"] for row in rows}
    return [names[number] for number in sorted(names)]
