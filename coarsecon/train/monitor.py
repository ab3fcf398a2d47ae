"""Evaluate the embedding during training: Recall@1, and kNN accuracy if configured, on a fixed sample of images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coarsecon.config import RunConfig
from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import PreparedDataset, Split
from coarsecon.data.prepared.unlabeled import unlabeled_note
from coarsecon.metrics.knn import knn_predict
from coarsecon.metrics.query_ranks import Search
from coarsecon.metrics.retrieval import hits_at_1, hits_within
from coarsecon.run.training_images import validation_images
from coarsecon.runtime.distributed import Distributed
from coarsecon.views.batch import ImageBatch

Embed = Callable[[ImageBatch], Tensor]

BATCH = 250

WITHIN = "fine_within_coarse_recall@1"
"""Monitored metric: Recall@1 of fine classes within the coarse class of the query."""


def monitored_name(dataset: PreparedDataset) -> str:
    """Return the first split with labels among val, test and train."""
    names = [name for name in ("val", "test", "train") if name in dataset.splits]
    return next((name for name in names if _has_labels(dataset, name)), names[0])


def has_validation(dataset: PreparedDataset) -> bool:
    """Return whether the dataset has a split val with labels."""
    return "val" in dataset.splits and _has_labels(dataset, "val")


def _has_labels(dataset: PreparedDataset, split: str) -> bool:
    return any((column >= 0).any() for column in dataset.split(split).labels.values())


def monitored_description(dataset: PreparedDataset, validation: float) -> str:
    """Describe the monitored images of a run: a split, or the fraction of train that data.validation holds out."""
    return f"{validation:.0%} held out of train" if validation else monitored_name(dataset)


def unlabeled_notes(dataset: PreparedDataset, level: str) -> list[str]:
    """Report how many images of the monitored split have no label, for fine labels and those of `level`."""
    name = monitored_name(dataset)
    labels = dataset.split(name).labels
    notes = [unlabeled_note(each, {name: labels[each]}, "and are not monitored")
             for each in dict.fromkeys(("fine", level)) if each in labels]  # fmt: skip
    return [note for note in notes if note]


def monitored_split(dataset: PreparedDataset, images: int) -> Split:
    """Return a fixed sample of the monitored split."""
    return _sample(dataset.split(monitored_name(dataset)), images)


def monitored_images(dataset: PreparedDataset, config: RunConfig) -> Split:
    """Return a fixed sample of the images that a run holds out of train, or else of the monitored split."""
    if config.data.validation:
        return _sample(validation_images(dataset.split("train"), config), config.run.monitor_images)
    return monitored_split(dataset, config.run.monitor_images)


def _sample(split: Split, images: int) -> Split:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return split.take(order[:images].sort().values)


def best_score(metrics: Mapping[str, float], best_by: str, level: str) -> float:
    """Return the metric that selects the best checkpoint, or the next one that is monitored.

    Args:
        metrics: Monitored metrics.
        best_by: Value of run.best_by.
        level: Label level that the run is trained on.
    """
    names = {"within-coarse": [WITHIN, "fine_recall@1"], "fine": ["fine_recall@1"], "coarse": []}[best_by]
    return next((metrics[name] for name in (*names, f"{level}_recall@1") if name in metrics), 0.0)


@dataclass(frozen=True)
class Monitored:
    """Metrics of the monitored images, and `{level}_recall@1` of each of them [N], NaN where it does not count."""

    metrics: dict[str, float]
    queries: dict[str, Tensor]


def evaluate(
    embed: Embed, loader: ImageLoader, bank: ImageLoader | None = None, comm: Distributed | None = None
) -> Monitored:
    """Compute Recall@1 of every label level on the loader's images, as `{level}_recall@1`.

    Where a coarse class has several fine ones, `fine_within_coarse_recall@1` is Recall@1 of fine classes among the
    images of the query's coarse class. With a `bank`, the training images, also compute `{level}_knn`, the accuracy of
    a vote of the 200 nearest of them. The ranks of `comm` embed one part of the images each.
    """
    comm = comm or Distributed()
    features = _features(embed, loader, comm)
    known = {level: labels for level, labels in loader.split.labels.items() if (labels >= 0).any()}
    queries = _recall_of_queries(features, known)
    metrics = {name: float(hits[~hits.isnan()].double().mean()) for name, hits in queries.items()}
    if bank is None:
        return Monitored(metrics, queries)
    bank_features = _features(embed, bank, comm)
    for level, labels in known.items():
        bank_labels = bank.split.labels.get(level)
        if bank_labels is not None and (bank_labels >= 0).any():
            correct = knn_predict(bank_features, bank_labels, features[labels >= 0]) == labels[labels >= 0]
            metrics[f"{level}_knn"] = correct.float().mean().item()
    return Monitored(metrics, queries)


def _recall_of_queries(features: Tensor, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not known:
        return {}
    search = Search.among(features)
    pairs = {level: (labels, labels) for level, labels in known.items()}
    queries = {f"{level}_recall@1": hits for level, hits in hits_at_1(search, pairs).items()}
    if {"fine", "coarse"} <= pairs.keys():
        within = hits_within(search, pairs["fine"], pairs["coarse"])
        queries |= {WITHIN: within} if not within.isnan().all() else {}
    return queries


def _features(embed: Embed, loader: ImageLoader, comm: Distributed) -> Tensor:
    count = len(loader.split)
    indices = torch.arange(count)[comm.shard(count)].split(BATCH)
    return comm.gather_parts(torch.cat([embed(batch).cpu() for batch in loader.batches(indices)]), count)
