"""Average results over the folds of a cross-validation."""

from collections.abc import Mapping, Sequence
from typing import Any

from coarsecon.metrics.interval import mean_and_interval, wilson


def fold_mean(values: Sequence[float], queries: int) -> tuple[float, float]:
    """Return the mean accuracy of at least two folds and half the width of its 95% interval.

    It is the wider of Student's interval over the folds, which includes the variance over training sets and groups of
    similar images, and Wilson's over all `queries`, which is not 0 if all folds agree by chance. Each of the
    two contains the accuracy on new images less often than both together (see `benchmarks/folds.py`).
    """
    mean, half = mean_and_interval(values)
    low, high = wilson(mean, queries)
    return mean, max(half, mean - low, high - mean)


def over_folds(
    results: Sequence[Mapping[str, Any]], scores: Sequence[str], settings: Sequence[str], classes: int
) -> dict[str, Any]:
    """Return the mean of each of `scores` with its interval, and the results by fold.

    Args:
        results: The result of each fold, with the number of its "queries".
        scores: Names of accuracies; the interval of "top1" is "ci95", that of another NAME "NAME_ci95".
        settings: Names of entries to keep if they are the same in all folds.
        classes: Number of classes of all queries.
    """
    queries = sum(result["queries"] for result in results)
    found: dict[str, Any] = {}
    for name in scores:
        mean, half = fold_mean([result[name] for result in results], queries)
        found |= {name: mean, "ci95" if name == "top1" else f"{name}_ci95": half}
    first = {name: results[0][name] for name in settings if name in results[0]}
    return {
        **found,
        **{name: value for name, value in first.items() if all(result[name] == value for result in results)},
        "folds": len(results),
        "queries": queries,
        "classes": classes,
        "by_fold": [dict(result) for result in results],
    }
