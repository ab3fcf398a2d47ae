"""Label tables of the project: the folder `coarse_labels`, next to the package or, once installed, inside it."""

import csv
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of `coarse_labels/NAME.csv` as dictionaries."""
    folder = next(place for place in (PACKAGE / "coarse_labels", PACKAGE.parent / "coarse_labels") if place.is_dir())
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
