"""Compare a trained encoder with the frozen one that its training started from, query by query."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coarsecon.evaluation.base import Table, percent

if TYPE_CHECKING:
    from coarsecon.metrics.retrieval import MetricValues
    from coarsecon.run.facade import Run

SHOWN = {"recall@1": "R@1", "map@r": "mAP@R"}
"""Metrics in the table, with their names there; the JSON has every Recall@k."""


def initial_run(run: "Run") -> "Run | None":
    """Return the same run with its initial encoder; None if it keeps none, or if that is what it evaluates already."""
    if run.spec.checkpoint == "initial" or not run.folder.encoder("initial").is_file():
        return None
    return run.with_features(checkpoint="initial", layer="backbone")


def compare_queries(
    frozen: "Mapping[str, MetricValues]", trained: "Mapping[str, MetricValues]", groups: Sequence[str]
) -> dict[str, Any]:
    """Compare Recall@k and mAP@R of the same queries under two encoders.

    Args:
        frozen: Value [Q] of each metric for each query by group, NaN where it does not count.
        trained: The same with the trained encoder.
        groups: Groups to compare.

    Returns:
        By group and metric, the "value" of the frozen encoder, the "difference" of the trained one to it, and the 95%
        "interval" of that, by bootstrap over the queries.
    """
    return {
        group: {
            name: _compared(frozen[group][name], after)
            for name, after in trained[group].items()
            if name.startswith("recall@") or name == "map@r"
        }
        for group in groups
    }


def _compared(before: Any, after: Any) -> dict[str, Any]:
    from coarsecon.metrics.interval import paired_means

    means = paired_means(before, after)
    if means is None:
        return {"value": 0.0, "difference": 0.0, "interval": None}
    return {"value": means.before, "difference": means.difference, "interval": list(means.interval)}


def frozen_table(part: Mapping[str, Any], values: Mapping[str, Any], checkpoint: str) -> Table:
    """Return the table of the metrics in `SHOWN`: frozen, trained, their difference, and its interval."""
    title = "trained" if checkpoint == "last" else checkpoint
    rows = [
        [f"{group.replace('_', ' ')} {label}", percent(found["value"]), percent(values[group][name]),
         _signed(found["difference"]), _interval(found["interval"])]
        for group, metrics in part.items() for name, label in SHOWN.items() if (found := metrics.get(name))
    ]  # fmt: skip
    return Table("Frozen and trained encoder, in %", ["", "frozen", title, "difference", "95% interval"], rows)


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}"


def _interval(interval: Sequence[float] | None) -> str:
    return " to ".join(map(_signed, interval)) if interval else ""
