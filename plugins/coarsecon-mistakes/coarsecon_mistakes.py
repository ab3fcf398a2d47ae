"""Hierarchical distance of mistakes: how far wrong neighbors are from a query in the hierarchy of labels.

Bertinetto et al., Making Better Mistakes, CVPR 2020: the height of the lowest common ancestor of two classes.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from coarsecon.errors import InputError
from coarsecon.evaluation import Evaluation, EvaluationConfig, Metric, Result

if TYPE_CHECKING:
    from coarsecon.run.facade import Run


class Mistakes(Evaluation):
    """Mean distance in the label hierarchy between a query and its nearest neighbors."""

    class Config(EvaluationConfig):
        """Settings of `mistakes`."""

        split: str | None = Field(None, description="Split of the queries. Default: test, else val, else train.")
        k: int = Field(1, ge=1, description="Number of neighbors of each query.")

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Find the neighbors of every labeled image within its split, and measure how far they are."""
        import torch

        from coarsecon.data.prepared.levels import dataset_hierarchy
        from coarsecon.metrics.interval import mean_and_interval
        from coarsecon.search.exact import nearest

        split = config.split or run.default_split()
        labels = run.labels(split)
        hierarchy = dataset_hierarchy(run.dataset, list(labels))
        if not hierarchy.levels:
            raise InputError(run.dataset.root, "no label level has two classes", "label images of several classes")
        finest = labels[hierarchy.levels[-1]][0]
        classes = finest[finest >= 0]
        count = len(classes)
        if count <= config.k:
            raise InputError("k", f"{split} has {count} images with {hierarchy.levels[-1]} labels", "use a smaller k")
        run.warn_if_trained_on(split)
        features = run.features(split)[finest >= 0]
        _, neighbors = nearest(features, features, config.k, exclude=torch.arange(count))
        distances = hierarchy.distance(classes[:, None], classes[neighbors]).float()
        mean, interval = mean_and_interval(distances.mean(1).tolist())
        metrics = [Metric("distance", mean, kind="value", interval=interval, count=count, lower_is_better=True)]
        mistakes = distances[distances > 0]
        if len(mistakes) > 1:
            mean, interval = mean_and_interval(mistakes.tolist())
            metrics.append(
                Metric("distance_of_mistakes", mean, kind="value", interval=interval, count=len(mistakes),
                       lower_is_better=True)
            )  # fmt: skip
        share = len(mistakes) / distances.numel()
        metrics.append(Metric("mistakes", share, kind="share", count=distances.numel(), lower_is_better=True))
        return Result(metrics, split)
