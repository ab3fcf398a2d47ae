"""Evaluations of a backbone: the same as the commands, and read back where they are finished."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.metrics.interval import wilson
from coarsecon.metrics.metric import Metric
from coarsecon.report.evaluate import evaluate, load_evaluation
from coarsecon.run.facade import Run
from coarsecon.run.provenance import Verifier
from coarsecon.runtime.settings import validate

KNN_NEIGHBORS = 20
FEW_SHOT = {"ways": 5, "shots": 1, "support_copies": 1, "skip_small": True}
"""Few-shot episodes on the features that are there: without augmented copies, which would be embedded first."""

FEW_SHOT_QUERIES = (15, 5, 1)
"""Images per class to classify: the first number for which most classes are large enough."""


@dataclass(frozen=True)
class Task:
    """An evaluation with its settings, and the scores of it that are shown: title, group and name of the metric."""

    evaluation: str
    settings: dict[str, Any] = field(default_factory=dict)
    scores: Sequence[tuple[str, str, str]] = ()


RETRIEVAL = (
    ("fine R@1", "fine", "recall@1"),
    ("within coarse", "fine_within_coarse", "recall@1"),
    ("coarse R@1", "coarse", "recall@1"),
)
STABILITY = Task(
    "stability", scores=[("view agreement", "", "view_agreement"), ("cluster stability", "", "cluster_stability")]
)


def tasks_for(dataset: PreparedDataset, *, label_free: bool = False) -> list[Task]:
    """Return the evaluations that the labels of a dataset allow; the first score of the first one ranks.

    Queries are the images of test, or else val, that search train; with a single split, each image searches the others.

    Args:
        dataset: The dataset.
        label_free: Add the criteria that need no fine labels where fine labels are known.

    Raises:
        InputError: No image has a label.
    """
    levels = _known_levels(dataset)
    queries = next((name for name in ("test", "val") if name in dataset.splits), None)
    finest = "fine" if "fine" in levels else levels[0]
    has_same_classes = queries is None or _has_same_classes(dataset, finest, queries)
    retrieve = {"gallery_split": "train"} if queries and has_same_classes else {}
    vote = {"k": (KNN_NEIGHBORS,)}
    if finest != "fine":
        knn = Task("knn", vote, [("coarse kNN", "coarse", "top1")])
        return [Task("retrieve", retrieve, RETRIEVAL[2:]), knn, STABILITY]
    tasks = [Task("retrieve", retrieve, RETRIEVAL)]
    few_shot = {**FEW_SHOT, "queries": _few_shot_queries(dataset.split(queries or "train").labels["fine"])}
    tasks.append(Task("fewshot", few_shot, [("5-way 1-shot", "", "accuracy")]))
    if has_same_classes:
        tasks.append(Task("knn", vote, [("fine kNN", "fine", "top1"), ("coarse kNN", "coarse", "top1")]))
        tasks.append(Task("linear", {"labels": "fine"}, [("linear probe", "fine", "top1")]))
    return [*tasks, STABILITY] if label_free and "coarse" in levels else tasks


def score(run: Run, task: Task) -> Iterator[tuple[str, Metric]]:
    """Yield the scores of an evaluation of a run by their titles; a finished result is read, not computed.

    Raises:
        InputError: The dataset does not allow the evaluation.
    """
    metrics = stored_metrics(run, task)
    if metrics is None:
        found = evaluate(run, task.evaluation, **task.settings)
        metrics = {(metric.group, metric.name): metric for metric in found.metrics}
    for title, group, name in task.scores:
        if (group, name) in metrics:
            yield title, metrics[group, name]


def stored_metrics(run: Run, task: Task) -> dict[tuple[str, str], Metric] | None:
    """Return the metrics of a finished and current result with the settings of a task; None if there is none."""
    config = validate(load_evaluation(task.evaluation).Config, task.settings).model_dump(mode="json")
    spec = {"checkpoint": run.spec.checkpoint, "layer": run.spec.layer, "flip": run.spec.flip}
    for result in Verifier(run.folder).results():
        record = result.record
        is_same = result.evaluation == task.evaluation and record.get("config") == config
        is_same = is_same and spec.items() <= record.items() and record.get("data") == str(run.dataset.root)
        if is_same and result.freshness.status == "current":
            return result.metrics
    return None


def half_interval(metric: Metric) -> float | None:
    """Return half the width of the 95% interval of a metric: its own, or that of a fraction of its queries."""
    if metric.interval is not None or metric.kind != "share" or not metric.count:
        return metric.interval
    low, high = wilson(metric.value, metric.count)
    return (high - low) / 2


def _known_levels(dataset: PreparedDataset) -> list[str]:
    known = [level for level in dataset.info.levels if (dataset.split("train").labels[level] >= 0).any()]
    if not known:
        raise InputError(
            dataset.root, "no training image has a label, which backbones are compared with", "label some images"
        )
    return known


def _has_same_classes(dataset: PreparedDataset, level: str, split: str) -> bool:
    """Return whether most labeled images of a split have a class of train."""
    labels, train = (dataset.split(name).labels[level] for name in (split, "train"))
    labels = labels[labels >= 0]
    return len(labels) > 0 and bool(torch.isin(labels, train[train >= 0]).float().mean() > 0.5)


def _few_shot_queries(labels: Tensor) -> int:
    """Return the number of queries per class of one-shot episodes."""
    sizes = labels[labels >= 0].bincount()
    sizes = sizes[sizes > 0]
    return next((n for n in FEW_SHOT_QUERIES if 2 * int((sizes > n).sum()) > len(sizes)), FEW_SHOT_QUERIES[-1])
