"""Write unambiguous names of fine classes: as `coarse/name` where the name is ambiguous."""

from collections import Counter
from collections.abc import Sequence


def written_names(classes: Sequence[tuple[str, str]]) -> list[str]:
    """Return the written names of fine classes, each a pair of its coarse class ("" if unknown) and its name.

    A class is written as `coarse/name` if several coarse classes have that name, if the name equals the written name of
    another class, or if it begins with its coarse class and a slash.
    """
    uses = Counter(name for _, name in classes)
    is_full = [uses[name] > 1 or name.startswith(f"{coarse}/") for coarse, name in classes]
    while True:
        written = [f"{coarse}/{name}" if full else name for (coarse, name), full in zip(classes, is_full, strict=True)]
        counts = Counter(written)
        clear = [full or counts[text] > 1 for full, text in zip(is_full, written, strict=True)]
        if clear == is_full:
            return written
        is_full = clear


def name_within(written: str, coarse: str) -> str:
    """Return the name of a fine class within its coarse class from its written name."""
    return written.removeprefix(f"{coarse}/")
