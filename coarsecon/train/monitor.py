"""Evaluate the embedding during training: Recall@1, and kNN accuracy if configured, on a fixed sample of images."""

from collections.abc import Callable

import torch

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import PreparedDataset, Split
from coarsecon.data.prepared.unlabeled import unlabeled_note
from coarsecon.metrics.knn import knn_predict
from coarsecon.metrics.retrieval import recall_at_k
from coarsecon.runtime.distributed import Distributed
from coarsecon.views.batch import ImageBatch

Embed = Callable[[ImageBatch], torch.Tensor]

BATCH = 250


def monitored_name(dataset: PreparedDataset) -> str:
    """Return the first split with labels among val, test and train."""
    names = [name for name in ("val", "test", "train") if name in dataset.splits]
    labeled = (name for name in names if any((column >= 0).any() for column in dataset.split(name).labels.values()))
    return next(labeled, names[0])


def unlabeled_notes(dataset: PreparedDataset, level: str) -> list[str]:
    """Report how many images of the monitored split have no label, for fine labels and those of `level`."""
    name = monitored_name(dataset)
    labels = dataset.split(name).labels
    notes = [unlabeled_note(each, {name: labels[each]}, "and are not monitored")
             for each in dict.fromkeys(("fine", level)) if each in labels]  # fmt: skip
    return [note for note in notes if note]


def monitored_split(dataset: PreparedDataset, images: int) -> Split:
    """Return a fixed sample of the monitored split."""
    split = dataset.split(monitored_name(dataset))
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return split.take(order[:images].sort().values)


def evaluate(
    embed: Embed, loader: ImageLoader, bank: ImageLoader | None = None, comm: Distributed | None = None
) -> dict[str, float]:
    """Compute Recall@1 of every label level on the loader's images, as `{level}_recall@1`.

    With a `bank`, the training images, also compute `{level}_knn`, the accuracy of a vote of the 200 nearest of them.
    The ranks of `comm` embed one part of the images each.
    """
    comm = comm or Distributed()
    features = _features(embed, loader, comm)
    known = {level: labels for level, labels in loader.split.labels.items() if (labels >= 0).any()}
    metrics = {f"{level}_recall@1": recall_at_k(features, labels, (1,))[1] for level, labels in known.items()}
    if bank is None:
        return metrics
    bank_features = _features(embed, bank, comm)
    for level, labels in known.items():
        bank_labels = bank.split.labels.get(level)
        if bank_labels is not None and (bank_labels >= 0).any():
            correct = knn_predict(bank_features, bank_labels, features[labels >= 0]) == labels[labels >= 0]
            metrics[f"{level}_knn"] = correct.float().mean().item()
    return metrics


def _features(embed: Embed, loader: ImageLoader, comm: Distributed) -> torch.Tensor:
    count = len(loader.split)
    indices = torch.arange(count)[comm.shard(count)].split(BATCH)
    return comm.gather_parts(torch.cat([embed(batch).cpu() for batch in loader.batches(indices)]), count)
