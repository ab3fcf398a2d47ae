"""Compare the trained encoder with the weights it started from, query by query, in the last lines of a training."""

from collections.abc import Mapping

from torch import Tensor

from coarsecon.metrics.interval import paired_difference
from coarsecon.train.monitor import WITHIN

Queries = Mapping[str, Tensor]

REMEDY = "consider the initial checkpoint, a lower learning rate (optimizer.lr), or another method such as supce"


def verdict(frozen: Queries, trained: Queries, split: str, *, level: str = "coarse") -> list[str]:
    """Return a line for each monitored metric that matters, and advice where training did not raise it.

    Overall Recall@1 is that of the fine classes, or of the classes of `level` where there are no fine ones.

    Args:
        frozen: Values [N] of each monitored image by metric, NaN where it does not count, before training.
        trained: The same after training.
        split: Name of the monitored split.
        level: Level of the training labels.
    """
    overall = next((name for name in ("fine_recall@1", f"{level}_recall@1") if name in frozen), "")
    titles = {overall: overall.replace("_recall@1", " Recall@1"), WITHIN: "fine Recall@1 within coarse classes"}
    return [
        line for name, title in titles.items() if name in frozen and name in trained
        for line in _lines(title, frozen[name], trained[name], split, "overall" if name == overall else
                           "within coarse classes")
    ]  # fmt: skip


def _lines(title: str, frozen: Tensor, trained: Tensor, split: str, where: str) -> list[str]:
    counted = ~frozen.isnan()
    before, after = frozen[counted].double(), trained[counted].double()
    low, high = paired_difference((after - before).numpy())
    first, last = 100 * float(before.mean()), 100 * float(after.mean())
    line = (
        f"{title} on {split}: frozen {first:.1f}, trained {last:.1f} "
        f"({last - first:+.1f}, 95% interval {100 * low:.1f} to {100 * high:.1f})"
    )
    if low > 0:
        return [line]
    effect = "lowered it" if high < 0 else "made no measurable difference"
    return [line, f"Training did not help {where}: it {effect}; {REMEDY}."]
