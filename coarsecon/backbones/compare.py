"""Compare backbones on a dataset: write each as a run, evaluate it, and rank them by their scores."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import timm

from coarsecon.backbones.candidates import Candidate, Variant, parse_candidates
from coarsecon.backbones.catalog import DEFAULT_OUT, find_published
from coarsecon.backbones.cost import Cost, measured_cost
from coarsecon.backbones.folders import open_backbone
from coarsecon.backbones.scores import Task, half_interval, score, tasks_for
from coarsecon.backbones.sizes import variants_of
from coarsecon.config import Pooling
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.metrics.metric import Metric
from coarsecon.run.facade import Run
from coarsecon.run.spec import Runtime


@dataclass(frozen=True)
class RankedBackbone:
    """Backbone with its scores by title, in the order of the table; or the `problem` for which it was skipped."""

    name: str
    run: Path | None = None
    scores: dict[str, Metric] = field(default_factory=dict)
    cost: Cost | None = None
    license: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return everything known, for JSON."""
        if self.problem:
            return {"name": self.name, "problem": self.problem}
        scores = {
            title: {"value": metric.value, "ci95": half_interval(metric), "count": metric.count}
            for title, metric in self.scores.items()
        }
        cost = asdict(self.cost) if self.cost else {}
        return {"name": self.name, "run": str(self.run), "license": self.license, **cost, "scores": scores,
                "notes": list(self.notes)}  # fmt: skip


@dataclass(frozen=True)
class Ranking:
    """Backbones on a dataset, the best first and the skipped ones last."""

    dataset: PreparedDataset
    backbones: Sequence[RankedBackbone]
    by: str
    """Title of the score that ranks."""

    @property
    def best(self) -> RankedBackbone:
        """The first backbone."""
        return self.backbones[0]

    @property
    def titles(self) -> list[str]:
        """The titles of all scores."""
        return list(dict.fromkeys(title for each in self.backbones for title in each.scores))


def compare_backbones(
    data: Path,
    names: Sequence[str] = (),
    *,
    out: Path = DEFAULT_OUT,
    sizes: Sequence[int] = (),
    poolings: Sequence[Pooling] = (),
    label_free: bool = False,
    runtime: Runtime = Runtime(),
) -> Ranking:
    """Evaluate backbones on a dataset, each as a run folder, and rank them.

    Finished work is read from the run folders: rerunning the comparison, also after a kill, continues it.

    Args:
        data: The prepared dataset.
        names: Backbones: see `candidates.parse_candidate`. Default: those of the default list.
        out: Folder for the run folders.
        sizes: Image sizes in pixels to try (default: that of the dataset).
        poolings: Poolings of transformers to try (default: timm's).
        label_free: Add the criteria that need no fine labels where fine labels are known.
        runtime: Device, workers, and progress.

    Returns:
        The ranking. A backbone that cannot be used, such as one that cannot be downloaded, has a `problem`.

    Raises:
        InputError: A name is not known, no image has a label, or no backbone can be used.
    """
    dataset = open_dataset(data)
    tasks = tasks_for(dataset, label_free=label_free)
    candidates = parse_candidates(names)
    found: list[RankedBackbone] = []
    errors: list[CoarseconError] = []
    for place, candidate in enumerate(candidates, 1):
        runtime.reporter.info(f"backbone {place} of {len(candidates)}: {candidate.text}")
        for variant in variants_of(candidate, dataset.info.size, sizes, poolings):
            try:
                found.append(_evaluate(variant, dataset, tasks, out, runtime))
            except CoarseconError as error:
                errors.append(error)
                runtime.reporter.info(f"skipped {variant.label}: {error}")
                found.append(RankedBackbone(variant.label, problem=str(error)))
    if len(errors) == len(found):
        raise (
            errors[0]
            if len(errors) == 1
            else InputError("backbones", f"none of the {len(errors)} can be used; the first: {errors[0]}")
        )
    by = tasks[0].scores[0][0]
    return Ranking(dataset, sorted(found, key=lambda each: _order(each, by)), by)


def _order(backbone: RankedBackbone, by: str) -> tuple[bool, float]:
    return bool(backbone.problem), -backbone.scores[by].value if by in backbone.scores else 0.0


def _evaluate(
    variant: Variant, dataset: PreparedDataset, tasks: Sequence[Task], out: Path, runtime: Runtime
) -> RankedBackbone:
    run = Run(open_backbone(variant, out, dataset), dataset.root, runtime=runtime)
    scores: dict[str, Metric] = {}
    notes = []
    for task in tasks:
        try:
            scores |= score(run, task)
        except InputError as error:
            notes.append(f"no {task.evaluation}: {error}")
    if not scores:
        raise InputError(variant.label, "; ".join(notes))
    cost, found = measured_cost(run), license_of(variant.candidate)
    return RankedBackbone(variant.label, run.folder.root, scores, cost, found, tuple(notes))


def license_of(candidate: Candidate) -> str:
    """Return the license of published weights as in the default list, else as timm records it; "" if unknown."""
    if published := find_published(candidate.name):
        return published.license
    config = timm.models.get_pretrained_cfg(candidate.name) if candidate.kind == "timm" else None
    return (config and config.license) or ""
