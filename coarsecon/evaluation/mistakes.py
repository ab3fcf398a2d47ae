"""Mistakes of retrieval by their distance in the hierarchy of label levels, where it has three levels or more.

With two levels the distances follow from Recall@1 of both: (1 - fine) + (1 - coarse) is their mean.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coarsecon.evaluation.base import Metric, Table, percent

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.metrics.retrieval import MetricValues

HIERARCHY = "hierarchy"
"""Part of the result with the distances in the hierarchy."""
MIN_LEVELS = 3
"""Levels of a hierarchy from which distances are reported."""


def mistakes_report(distances: "MetricValues", levels: Sequence[str]) -> dict[str, Any]:
    """Summarize the distances of queries: their means with 95% intervals, and the number of queries by height.

    "distance_of_mistakes" is the mean height of the nearest neighbors that are of another class of the finest level.
    """
    from coarsecon.metrics.interval import mean_and_interval
    from coarsecon.metrics.mistakes import height_counts

    nearest = _known(distances["distance@1"])
    report: dict[str, Any] = {"levels": list(levels)}
    means = {name: _known(values) for name, values in distances.items()} | {
        "distance_of_mistakes": nearest[nearest > 0]
    }
    for name, values in means.items():
        if len(values) > 1:
            report[name], report[f"{name}_ci95"] = mean_and_interval(values.tolist())
    return {**report, "heights": height_counts(nearest, len(levels)), "queries": len(nearest)}


def mistakes_metrics(report: Mapping[str, Any]) -> list[Metric]:
    """Return the mean distances as metrics."""
    heights = report["heights"]
    counts = {"distance_of_mistakes": sum(heights[1:])}
    return [
        Metric(name, value, HIERARCHY, "value", report[f"{name}_ci95"], counts.get(name, report["queries"]),
               lower_is_better=True)
        for name, value in report.items() if f"{name}_ci95" in report
    ]  # fmt: skip


def mistakes_table(report: Mapping[str, Any]) -> Table:
    """Return a table of the nearest neighbors by height, then the mean distances."""
    levels, heights, queries = report["levels"], report["heights"], report["queries"]
    names = [f"same {level}" for level in reversed(levels)] + [f"other {levels[0]}"]
    rows = [
        [name, str(height), f"{count:,}", percent(count / max(queries, 1))]
        for height, (name, count) in enumerate(zip(names, heights, strict=True))
    ]
    for name in report:
        if half := report.get(f"{name}_ci95"):
            rows.append([name.replace("_", " "), f"{report[name]:.3f} ± {half:.3f}", "", ""])
    title = f"Nearest neighbor in the hierarchy {' > '.join(levels)}"
    return Table(title, ["", "height", "queries", "%"], rows)


def _known(values: "Tensor") -> "Tensor":
    return values[~values.isnan()]
