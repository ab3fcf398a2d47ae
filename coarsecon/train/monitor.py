"""A look at the embedding during training: recall on a fixed subset of the images."""

from collections.abc import Callable

import torch

from coarsecon.data.batch import ImageBatch
from coarsecon.data.loader import ImageLoader
from coarsecon.data.store import PreparedDataset, Split
from coarsecon.evaluation.retrieval import recall_at_k

BATCH = 250


def monitored_split(dataset: PreparedDataset, images: int) -> Split:
    """A fixed sample of the validation split, else of the test split, else of the training split."""
    name = next(name for name in ("val", "test", "train") if name in dataset.splits)
    split = dataset.split(name)
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return split.take(order[:images].sort().values)


def recalls(embed: Callable[[ImageBatch], torch.Tensor], loader: ImageLoader) -> dict[str, float]:
    """Recall@1 of every label level on the loader's images, as `{level}_recall@1`."""
    indices = torch.arange(len(loader.split)).split(BATCH)
    features = torch.cat([embed(batch).cpu() for batch in loader.batches(indices)])
    known = {level: labels for level, labels in loader.split.labels.items() if (labels >= 0).any()}
    return {f"{level}_recall@1": recall_at_k(features, labels, (1,))[1] for level, labels in known.items()}


def score(recalls: dict[str, float], level: str) -> float:
    """What the best state is chosen by: recall on fine labels where there are any, else on those learned from."""
    return recalls.get("fine_recall@1", recalls.get(f"{level}_recall@1", 0.0))
