"""Criteria that need no fine labels: agreement of two views, and stability of clusters, inside coarse classes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from coarsecon.errors import InputError
from coarsecon.evaluation.base import Evaluation, EvaluationConfig, Metric, Result

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.run.facade import Run

VIEW = "simclr"
"""Preset of the two views of each image: random crop, flip, color jitter, and grayscale."""


class Stability(Evaluation):
    """Agreement of two views and stability of clusters inside coarse classes, which need no fine labels."""

    class Config(EvaluationConfig):
        """Settings of `stability`."""

        split: str = Field("train", description="Split to evaluate.", json_schema_extra={"display": True})
        within: str = Field(
            "coarse", description="Label level inside whose classes images are compared.",
            json_schema_extra={"metavar": "LEVEL"},
        )  # fmt: skip
        images: int = Field(2000, ge=2, description="Maximum number of images, drawn evenly over the classes.")
        repeats: int = Field(5, ge=2, description="Random halvings of each class for the stability of clusters.")
        seed: int = Field(0, ge=0, description="Random seed of the images, the views, the halves and the clusters.")

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Embed two random views of each image and compare them."""
        from coarsecon.data.prepared.split_ref import SplitRef
        from coarsecon.data.prepared.subset import draw_evenly
        from coarsecon.metrics.stability import chance_of_agreement, cluster_stability, view_agreement

        labels = _labels(run, config)
        known = (labels >= 0).nonzero().flatten()
        chosen = known[draw_evenly(labels[known], config.images, config.seed)]
        run.use(SplitRef(run.dataset, config.split))
        first, second = _two_views(run, config, chosen)
        run.continue_on_first_rank()
        run.report_unlabeled(config.split, levels=[config.within])
        labels = labels[chosen]
        agreement = view_agreement(first, second, labels)
        counted = agreement[~agreement.isnan()]
        chance = chance_of_agreement(labels)
        steps = config.repeats * len(labels.unique())
        with run.reporter.progress("stability of clusters", steps, unit="classes") as progress:
            stability, interval = cluster_stability(
                first, second, labels, repeats=config.repeats, seed=config.seed, progress=progress
            )
        metrics = [
            Metric("view_agreement", float(counted.mean()), kind="share", count=len(counted)),
            Metric("chance_of_agreement", chance, kind="chance"),
            Metric("cluster_stability", stability, interval=interval, count=config.repeats),
        ]
        values: dict[str, Any] = {metric.name: metric.value for metric in metrics}
        values |= {"cluster_stability_ci95": interval, "images": len(chosen), "within": config.within}
        return Result(metrics, config.split, values, default_split="train")


def _labels(run: "Run", config: Stability.Config) -> "Tensor":
    columns = run.dataset.split(config.split).labels
    if config.within not in columns:
        raise InputError(
            "within", f"{run.dataset.root} has no {config.within!r} labels", f"it has {', '.join(columns)}"
        )
    labels = columns[config.within]
    if not (labels >= 0).any():
        raise InputError(
            run.dataset.root, f"no image of the split {config.split} has a {config.within} label", "label some images"
        )
    return labels


def _two_views(run: "Run", config: Stability.Config, chosen: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return normalized features [N, D] of two random views of the chosen images, cached in the run folder."""
    import torch

    from coarsecon.data.prepared.loader import ImageLoader
    from coarsecon.run.features import BATCH, split_batches
    from coarsecon.views.batch import ImageBatch
    from coarsecon.views.presets import make_view

    store, images = run.store, run.dataset.split(config.split).take(chosen)
    image = store.encoder.card.input
    view = make_view(VIEW, size=image.size, mean=(0, 0, 0), std=(1, 1, 1), interpolation=image.interpolation)

    def pieces(starts: range) -> Iterator["Tensor"]:
        loader = ImageLoader(images, store.device, run.runtime.workers, reporter=run.reporter)
        for start, batch in zip(starts, split_batches(loader, BATCH, starts), strict=True):
            generator = torch.Generator(store.device).manual_seed(config.seed + start)
            views = [view.pixels(batch, generator).round().to(torch.uint8) for _ in range(2)]
            yield torch.cat([store.encoder.features(ImageBatch.full(each), whole=True) for each in views], dim=1).cpu()

    name = f"{config.split}-views-{VIEW}-{config.within}-{config.images}-{config.seed}"
    checksum = run.dataset.info.splits[config.split].checksum
    rows = store.kept(name, checksum, len(images), pieces, piece=BATCH, what=f"two views of {config.split}")
    first, second = rows.chunk(2, dim=1)
    return store.finished(first), store.finished(second)
