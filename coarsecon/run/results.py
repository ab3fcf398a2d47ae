"""What the result files of a run say: which of their numbers are scores, and how sure each is.

A result file is one JSON object; whatever it holds is shown. These names mean something wherever they stand:

- shares of queries that are right, each for itself: `recall@K`, `topK`, `accuracy`. Counted by `queries`.
- other scores of at most 1: `precision@K`, `map@r`, `r_precision`, `NAME_accuracy`, `NAME_topK`, `nmi`, `ami`, `ari`,
  `purity`, `ap`, `apK`; and an `accuracy` of clusters, whose images are named together and have no `queries`.
- `chance`: what a random order would reach; shown as a score, never compared.
- `ci95` and `NAME_ci95`: half the 95% interval of a mean over `episodes` or `repeats` draws; the first is that of
  `accuracy` or `top1`.
- `by_episode`, a list of accuracies, and `draws`, a list of objects with scores: the values behind such means.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.documents import read_json_object

CONTEXT = ("split", "checkpoint", "layer", "flip", "data", "run2", "training_images")
"""What a result was computed on; these stand before its numbers."""

COMPUTED_FROM = "computed_from"
"""The entry of a result with the fingerprints of the encoder and of the splits that it was computed from."""

SHARES = re.compile(r"recall@\d+|top\d+|accuracy")
SCORES = re.compile(
    rf"{SHARES.pattern}|precision@\d+|map@r|r_precision|\w+_accuracy|\w+_top\d+|nmi|ami|ari|purity|ap(\d\d)?"
)


@dataclass(frozen=True)
class Freshness:
    """Whether something was computed from the present encoder and dataset of a run.

    `status` is "current", "stale", or "unverified" where that cannot be known; `note` says why. `is_usable` is False
    for what is stale or probably is: it is shown with its note, and enters no comparison and no model card.
    """

    status: Literal["current", "stale", "unverified"] = "current"
    note: str = ""
    is_usable: bool = True

    def __str__(self) -> str:
        return f"{self.status}: {self.note}" if self.status != "current" else self.note


@dataclass(frozen=True)
class Result:
    """One result file: its name without suffix, and the object in it or what is wrong with it."""

    name: str
    record: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    freshness: Freshness = Freshness()
    path: Path | None = None

    @property
    def context(self) -> dict[str, Any]:
        """What it was computed on."""
        return {name: self.record[name] for name in CONTEXT if name in self.record}

    @property
    def fingerprints(self) -> list[tuple[str, str]]:
        """The splits that it was computed from, with the fingerprint of each; empty where they are not recorded."""
        try:
            source = self.record[COMPUTED_FROM]
            splits = [*source["splits"], *source.get("annotations", [])]
            return sorted((each["split"], each["fingerprint"]) for each in splits)
        except (TypeError, KeyError, AttributeError):
            return []

    @property
    def values(self) -> dict[str, Any]:
        """Everything else."""
        return {name: value for name, value in self.record.items() if name not in (*CONTEXT, COMPUTED_FROM)}


@dataclass(frozen=True)
class Score:
    """A number of at most 1 that says how good something is, and what tells how sure it is.

    `half_width` is that of its 95% interval over `draws`; a share of `queries` has those instead. None: not known.
    """

    name: str
    value: float
    half_width: float | None = None
    draws: int | None = None
    queries: int | None = None


@dataclass(frozen=True)
class Difference:
    """A score of one run less that of the first, and the 95% interval of that where one can be had."""

    value: float
    interval: tuple[float, float] | None
    by: Literal["paired", "same draws", "draws", "queries", "other data", "none"]
    """How the interval is made: see `coarsecon.report.comparison`; none, and none where the data differ."""

    @property
    def exceeds(self) -> bool | None:
        """Whether the interval leaves 0 out; None without interval."""
        return None if self.interval is None else not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class Comparison:
    """One score in every run, None where it is missing, with its differences to the first run's (the first is None)."""

    result: str
    level: str
    score: str
    values: list[float | None]
    differences: list[Difference | None]


def read_results(run: RunFolder) -> list[Result]:
    """The run's result files in the order of their names; one that cannot be read says so."""
    return [_read(path) for path in run.files(run.results, "*.json")]


def _read(path: Path) -> Result:
    try:
        record = read_json_object(path)
    except (OSError, InputError) as error:
        return Result(path.stem, problem=str(error).removeprefix(f"{path}: ").splitlines()[0][:200])
    return Result(path.stem, {_current_name(name, value): value for name, value in record.items()}, path=path)


def _current_name(name: str, value: Any) -> str:
    """Return today's name of an entry: "fine_within_coarse" was over all queries, and had no "coarse_classes"."""
    if name == "encoder":
        return "checkpoint"
    is_old = name == "fine_within_coarse" and isinstance(value, dict) and "coarse_classes" not in value
    return "fine_within_coarse_all_queries" if is_old else name


def word(text: str) -> str:
    """`text` as a part of a result file's name; its end and a digest where it is long or has other characters."""
    plain = re.sub(r"[^A-Za-z0-9=.,+_]+", "_", text)
    if plain == text and len(plain) <= 40:
        return plain
    key, _, value = plain.partition("=")
    return f"{key}={value[-24:]}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def levels(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts of a result: its objects that hold scores, by name, and before them its own numbers under ""."""
    parts = {name: part for name, part in values.items() if isinstance(part, dict) and next(scores(part), None)}
    own = {name: value for name, value in values.items() if name not in parts}
    return ({"": own} if own else {}) | parts


def scores(part: Mapping[str, Any]) -> Iterator[Score]:
    """The scores that stand in one part of a result."""
    for name, value in part.items():
        if SCORES.fullmatch(name) and is_number(value):
            yield score(part, name)


def score(part: Mapping[str, Any], name: str) -> Score:
    """The score called `name` with what its part says of how sure it is."""
    half_width = _number(part, f"{name}_ci95")
    if half_width is None and name in ("accuracy", "top1"):
        half_width = _number(part, "ci95")
    draws, queries = _count(part, "episodes", "repeats"), _count(part, "queries")
    # Where scores are means over draws, `queries` counts something else: the images of a class in an episode, say.
    is_share = SHARES.fullmatch(name) is not None and half_width is None and "ci95" not in part
    return Score(name, float(part[name]), half_width, draws, queries if is_share else None)


def drawn(part: Mapping[str, Any], name: str) -> list[float]:
    """What the score called `name` was in each episode or draw that it is the mean of; empty where that is not kept."""
    by_episode, draws = part.get("by_episode"), part.get("draws")
    if name == "accuracy" and isinstance(by_episode, list):
        values = by_episode
    else:
        values = (
            [each.get(name) if isinstance(each, dict) else None for each in draws] if isinstance(draws, list) else []
        )
    return [float(value) for value in values] if all(map(is_number, values)) else []


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(part: Mapping[str, Any], name: str) -> float | None:
    return float(part[name]) if is_number(part.get(name)) else None


def _count(part: Mapping[str, Any], *names: str) -> int | None:
    found = [int(part[name]) for name in names if is_number(part.get(name)) and part[name] >= 1]
    return found[0] if found else None
