"""Compare the trained encoder with the weights it started from, query by query, in the last lines of a training."""

from collections.abc import Mapping

from torch import Tensor

from coarsecon.metrics.interval import PairedMeans, paired_means
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
    pairs = {name: paired_means(frozen[name], trained[name]) for name in titles if name in frozen}
    compared = {name: means for name, means in pairs.items() if means is not None}
    where = f"{split} (training images)" if split == "train" else split
    lines = [f"{titles[name]} on {where}: {_describe(each)}" for name, each in compared.items()]
    unproven = [name for name, each in compared.items() if each.interval[0] <= 0]
    places = ["overall" if name == overall else "within coarse classes" for name in unproven]
    return [*lines, *[f"Training did not help {' or '.join(places)}; {REMEDY}."] * bool(places)]


def _describe(means: PairedMeans) -> str:
    low, high = (100 * end for end in means.interval)
    change = f"{100 * means.difference:+.1f}, 95% interval {low:.1f} to {high:.1f}"
    return f"frozen {100 * means.before:.1f}, trained {100 * means.after:.1f} ({change})"
