"""Write the names of fine classes so that each is clear: as `coarse/name` where the name alone is not."""

from collections import Counter
from collections.abc import Sequence


def written_names(classes: Sequence[tuple[str, str]]) -> list[str]:
    """The names to write for fine classes, each a pair of its coarse class ("" if unknown) and its name.

    `coarse/name` where several coarse classes have that name, or where the name alone is what is written for another
    class or begins with its own coarse class and a slash.
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
    """The name of a fine class of a coarse class, from how it is written."""
    return written.removeprefix(f"{coarse}/")
