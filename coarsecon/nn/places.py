"""Find the weights of a network in a checkpoint: in which dictionary, and below which prefix of names."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.nn.checkpoint import ForeignCheckpoint

NUM_BATCHES = "num_batches_tracked"
"""Entries that old files lack, and that are only used in training."""

AVERAGED = re.compile(r"(^|[._])(ema|momentum|average[d]?|k|key|target|student)([._]|$)")
"""Weights that are only used without an alternative: moving averages, and a student with its teacher."""

PART = re.compile(r"(^|\.)(layer|stage|block)s?\d*(\.|$)")
"""Prefixes inside a network."""


@dataclass(frozen=True)
class Place:
    """A dictionary of a checkpoint, and a prefix of names in it; `state` has the entries below both."""

    key: str
    prefix: str
    state: dict[str, Tensor] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.key}.{self.prefix}".strip(".")


def places(checkpoint: ForeignCheckpoint, *, min_entries: float, key: str | None, path: Path) -> list[Place]:
    """List every place with at least `min_entries` entries, or the largest dictionary if there is none.

    Raises:
        InputError: No place contains `key`.
    """
    found = []
    for name, state in checkpoint.sets.items():
        counts = Counter(prefix for entry in state for prefix in _prefixes(entry))
        found += [_place(name, prefix, state) for prefix, count in counts.items() if count >= min_entries]
    found = found or [Place(name, "", state) for name, state in checkpoint.sets.items() if state is checkpoint.state]
    if key is None:
        return found
    chosen = [place for place in found if f".{key}." in f".{place}."]
    if not chosen:
        known = ", ".join(name for name in map(str, found) if name and not PART.search(name))
        raise InputError(path, f"no weights called {key!r}", f"use one of {known}" if known else "")
    return chosen


def _prefixes(entry: str) -> list[str]:
    parts = entry.split(".")
    return [".".join(parts[:i]) + "." if i else "" for i in range(len(parts))]


def _place(key: str, prefix: str, state: dict[str, Tensor]) -> Place:
    return Place(
        key, prefix, {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    )


def choose_place(equal: Sequence[Place], usual: Sequence[str] = ()) -> Place:
    """Choose from places that fit equally well.

    Prefixes in `usual` come first, in their order. Then come plain weights, before averaged ones (EMA, momentum or key
    encoder) and before a student, because the published code evaluates its teacher.
    """

    def rank(place: Place) -> tuple[int, bool]:
        order = [i for i, prefix in enumerate(usual) if place.prefix.endswith(prefix)]
        return min(order, default=len(usual)), AVERAGED.search(str(place)) is not None

    return min(equal, key=rank)


def summarize(names: Iterable[str]) -> list[str]:
    """Summarize names of weights by their module, with their number if it is more than one."""

    def owner(name: str) -> str:
        parts = name.split(".")
        deep = len(parts) > 2 and parts[0] in ("encoder_q", "encoder")
        return ".".join(parts[:2] if deep else parts[:1])

    counts = Counter(map(owner, names))
    return [f"{name} ({count})" if count > 1 else name for name, count in sorted(counts.items())]
