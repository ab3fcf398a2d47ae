"""Hierarchical distance of mistakes: how far wrong neighbors are from a query in the hierarchy of labels.

Bertinetto et al., Making Better Mistakes, CVPR 2020: the height of the lowest common ancestor of two classes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from coarsecon.errors import InputError
from coarsecon.evaluation import Evaluation, EvaluationConfig, Metric, Result

if TYPE_CHECKING:
    from torch import Tensor

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

        from coarsecon.metrics.interval import mean_and_interval
        from coarsecon.search.exact import nearest

        split = config.split or run.default_split()
        labels = {level: columns[0] for level, columns in run.labels(split).items()}
        known = torch.stack([column >= 0 for column in labels.values()]).all(0)
        count = int(known.sum())
        if count <= config.k:
            raise InputError("k", f"{split} has {count} images with labels of every level", "use a smaller k")
        run.warn_if_trained_on(split)
        features = run.features(split)[known]
        _, neighbors = nearest(features, features, config.k, exclude=torch.arange(count))
        distances = hierarchical_distance({level: column[known] for level, column in labels.items()}, neighbors)
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


def hierarchical_distance(labels: "Mapping[str, Tensor]", neighbors: "Tensor") -> "Tensor":
    """Return the number of label levels at which each neighbor differs from its query.

    Args:
        labels: int64 [N] for each level of the hierarchy.
        neighbors: int64 [N, K], indices of images.

    Returns:
        float32 [N, K]; 0 for the same finest class, the number of levels for classes without a common ancestor.
    """
    import torch

    return torch.stack([column[:, None] != column[neighbors] for column in labels.values()]).sum(0).float()
