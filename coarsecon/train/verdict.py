"""Compare the trained encoder with the weights it started from, query by query, in the last lines of a training."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from coarsecon.metrics.interval import paired_difference
from coarsecon.train.monitor import WITHIN

Queries = Mapping[str, Tensor]

REMEDY = "consider the initial checkpoint, a lower learning rate (optimizer.lr), or finetune.train=last-blocks"


def verdict(frozen: Queries, trained: Queries, split: str, *, level: str = "coarse") -> list[str]:
    """Return a line for each monitored metric that matters, and advice where training did not raise one.

    Overall Recall@1 is that of the fine classes, or of the classes of `level` where there are no fine ones.

    Args:
        frozen: Values [N] of each monitored image by metric, NaN where it does not count, before training.
        trained: The same after training.
        split: Name of the monitored split.
        level: Level of the training labels.
    """
    overall = next((name for name in ("fine_recall@1", f"{level}_recall@1") if name in frozen), "")
    titles = {overall: overall.replace("_recall@1", " Recall@1"), WITHIN: "fine Recall@1 within coarse classes"}
    compared = {name: _Compared.of(frozen[name], trained[name]) for name in titles if name in frozen}
    where = f"{split} (training images)" if split == "train" else split
    lines = [f"{titles[name]} on {where}: {each}" for name, each in compared.items()]
    places = [
        "overall" if name == overall else "within coarse classes" for name, each in compared.items() if each.low <= 0
    ]
    return [*lines, *[f"Training did not help {' or '.join(places)}; {REMEDY}."] * bool(places)]


class _Compared(NamedTuple):
    """Means before and after training, and the 95% interval of their difference."""

    before: float
    after: float
    low: float
    high: float

    @classmethod
    def of(cls, frozen: Tensor, trained: Tensor) -> "_Compared":
        """Compare the images that count."""
        counted = ~frozen.isnan()
        before, after = frozen[counted].double(), trained[counted].double()
        return cls(float(before.mean()), float(after.mean()), *paired_difference((after - before).numpy()))

    def __str__(self) -> str:
        before, after, low, high = (100 * value for value in self)
        change = f"{after - before:+.1f}, 95% interval {low:.1f} to {high:.1f}"
        return f"frozen {before:.1f}, trained {after:.1f} ({change})"
