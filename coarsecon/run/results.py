"""The result files of a run: one JSON object each, with its metrics and what they were computed from."""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from coarsecon.errors import InputError
from coarsecon.metrics.metric import Metric
from coarsecon.run.folder import RunFolder
from coarsecon.run.old_results import old_metrics
from coarsecon.runtime.documents import is_number, read_json_object

CONTEXT = ("split", "checkpoint", "layer", "flip", "data", "run2", "training_images")
"""Entries that describe the features and the split of a result."""

COMPUTED_FROM = "computed_from"
"""Entry with the fingerprints of the encoder and the splits."""

FROZEN = "frozen"
"""Entry that compares the metrics with those of the initial encoder."""

ABOUT = ("evaluation", "config", "metrics", FROZEN)
"""Entries with the evaluation, its settings, its metrics, and their comparison with the initial encoder; missing in
files of earlier versions."""


@dataclass(frozen=True)
class Freshness:
    """Freshness of something computed from the encoder and the dataset of a run.

    `status` is "current", "stale", or "unverified" where that cannot be known; `note` says why. `is_usable` is False
    for what is stale or probably is: it is shown with its note, and enters no comparison and no model card.
    """

    status: Literal["current", "stale", "unverified"] = "current"
    note: str = ""
    is_usable: bool = True

    def __str__(self) -> str:
        return f"{self.status}: {self.note}" if self.status != "current" else self.note


@dataclass(frozen=True)
class StoredResult:
    """Result file: its name without suffix, and its content or problem."""

    name: str
    record: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    freshness: Freshness = Freshness()
    path: Path | None = None

    @property
    def evaluation(self) -> str:
        """The name of the evaluation; of files of earlier versions, how the name of the file begins."""
        found = self.record.get("evaluation")
        return found if isinstance(found, str) else self.name.partition("-")[0]

    @property
    def context(self) -> dict[str, Any]:
        """The split, checkpoint and features it was computed on."""
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
        """All other entries."""
        return {name: value for name, value in self.record.items() if name not in (*CONTEXT, COMPUTED_FROM, *ABOUT)}

    @cached_property
    def metrics(self) -> dict[tuple[str, str], Metric]:
        """The metrics by (group, name); those of files of earlier versions are recognized by their names."""
        try:
            found = [Metric.from_json(fields) for fields in self.record["metrics"]]
        except (KeyError, TypeError, ValueError):
            found = old_metrics(self.values)
        return {(metric.group, metric.name): metric for metric in found}

    def draws(self, metric: Metric) -> list[float]:
        """Return the values that a metric is the mean of, per episode, draw or fold; empty if they are not stored."""
        part = self.values.get(metric.group, {}) if metric.group else self.values
        by_episode, draws = part.get("by_episode"), part.get("by_fold", part.get("draws"))
        if metric.name == "accuracy" and isinstance(by_episode, list):
            values = by_episode
        else:
            entries = draws if isinstance(draws, list) else []
            values = [each.get(metric.name) if isinstance(each, dict) else None for each in entries]
        return [float(value) for value in values] if all(map(is_number, values)) else []


def read_results(run: RunFolder) -> list[StoredResult]:
    """Return the run's results in the order of their names; one that cannot be read has a `problem`."""
    return [_read(path) for path in run.files(run.results, "*.json")]


def _read(path: Path) -> StoredResult:
    try:
        record = read_json_object(path)
    except (OSError, InputError) as error:
        problem = error.problem if isinstance(error, InputError) else str(error)
        return StoredResult(path.stem, problem=problem.splitlines()[0][:200])
    return StoredResult(path.stem, {_current_name(name, value): value for name, value in record.items()}, path=path)


def _current_name(name: str, value: Any) -> str:
    """Return today's name of an entry: "fine_within_coarse" was over all queries, and had no "coarse_classes"."""
    if name == "encoder":
        return "checkpoint"
    is_old = name == "fine_within_coarse" and isinstance(value, dict) and "coarse_classes" not in value
    return "fine_within_coarse_all_queries" if is_old else name


def word(text: str) -> str:
    """Return `text` for use in a file name; its end and a digest if it is long or has other characters."""
    plain = re.sub(r"[^A-Za-z0-9=.,+_]+", "_", text)
    if plain == text and len(plain) <= 40:
        return plain
    key, _, value = plain.partition("=")
    return f"{key}={value[-24:]}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
