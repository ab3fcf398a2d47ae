"""Map the features of a run to the plane, as a picture and as an interactive page."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from coarsecon.config import FeatureLayer
from coarsecon.errors import InputError
from coarsecon.evaluation.base import Evaluation, EvaluationConfig, FileFormat, Result
from coarsecon.evaluation.figures import Map

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.metrics.projection import Projection
    from coarsecon.run.facade import Run

MAX_IMAGES = 10_000
"""Images on a map by default: more take long to project, and make a page that a browser finds heavy."""


class TSNE(Evaluation):
    """Map features to the plane, colored by coarse and fine class: PNG, SVG and an interactive page."""

    formats = (
        FileFormat("html", "Page: zoom, hover, filter, lasso to CSV. Default: in RUN/figures."),
        FileFormat("png", "Picture. Default: in RUN/figures."),
        FileFormat("svg", "Picture as vectors. Default: in RUN/figures."),
    )
    only_named_files = True
    features_options = ("checkpoint", "flip")

    class Config(EvaluationConfig):
        """Settings of `tsne`."""

        split: str | None = Field(
            None, description="Split to map. Default: test, else val, else train.", json_schema_extra={"display": True}
        )
        method: Literal["tsne", "pca", "umap"] = Field(
            "tsne", description="t-SNE, principal components, or UMAP (extra umap).",
            json_schema_extra={"display": True},
        )  # fmt: skip
        perplexity: float | None = Field(
            None, gt=0, description="Perplexity of t-SNE: the effective number of neighbors. Default: 30, or less for "
            "few images.",
        )  # fmt: skip
        limit: int = Field(MAX_IMAGES, ge=0, description="Maximum number of images, drawn at random; 0: all.")
        class_weights: bool = Field(False, description="Draw the class weights of the run's classifier as stars.")
        layer: FeatureLayer | None = Field(
            None,
            description="Features of the backbone, or of the projector trained on it. Default: backbone; with "
            "class_weights the layer they belong to.",
            json_schema_extra={"display": True},
        )
        seed: int = Field(0, ge=0, description="Random seed of the map and of the images drawn for limit.")

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Project the features of a split, or some of them."""
        if config.perplexity is not None and config.method != "tsne":
            raise InputError("perplexity", f"{config.method} has none", "leave it out, or use the method tsne")
        layer = config.layer or "backbone"
        if config.class_weights:
            layer = weights_layer(run)
            if config.layer not in (None, layer):
                raise InputError("class_weights", "belong to the features of another layer", "leave layer out")
        if layer != run.spec.layer:
            run = run.with_features(layer=layer)
        split = config.split or run.default_split()
        run.features(split)
        run.continue_on_first_rank()
        run.warn_if_trained_on(split)
        count = len(run.dataset.split(split))
        if config.limit and count > config.limit:
            run.reporter.info(f"mapping {config.limit:,} of the {count:,} images of {split}, drawn at random (limit)")
        record = map_split(
            run, split, config.method, perplexity=config.perplexity, seed=config.seed, limit=config.limit or None,
            class_weights=config.class_weights,
        )  # fmt: skip
        return Result(split=split, values=record, name=config.method, figure=Map(run, split, record), run=run)


def map_split(
    run: "Run",
    split: str,
    method: "Projection" = "tsne",
    *,
    perplexity: float | None = None,
    seed: int = 0,
    limit: int | None = None,
    class_weights: bool = False,
) -> dict[str, Any]:
    """Return the places of the images of a split in the plane, by `metrics.projection.project`, as JSON.

    Args:
        run: The run. With `class_weights` its features must be of the layer of `weights_layer`.
        split: The split to map.
        method: The projection.
        perplexity: Perplexity of t-SNE.
        seed: Random seed of the projection and of the sample.
        limit: Number of images, drawn at random; None: all.
        class_weights: Project the class weights of the run's classifier together with the features.

    Raises:
        InputError: As `project`; or the classes of the run are not those of the dataset.
    """
    import torch

    from coarsecon.metrics.projection import project
    from coarsecon.run.restore import coarse_classes

    features = run.features(split)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    chosen = order[:limit].sort().values
    rows = features[chosen]
    level, classes = run.folder.config().data.labels, []
    if class_weights:
        classes = coarse_classes(run.folder, run.spec.checkpoint)
        if classes != run.dataset.with_levels(level).info.levels.get(level):
            raise InputError("class_weights", f"the run was trained on other {level} classes than those of the dataset")
        weights, _ = _weights(run)
        rows = torch.cat([rows, torch.nn.functional.normalize(weights.float(), dim=1)])
    points, how = project(rows, method, perplexity=perplexity, seed=seed, reporter=run.reporter)
    images = [
        {**image_identity(run, split, index), "x": x, "y": y}
        for index, (x, y) in zip(chosen.tolist(), points.tolist(), strict=False)
    ]
    stars = [
        {"class": name, "x": x, "y": y} for name, (x, y) in zip(classes, points[len(chosen) :].tolist(), strict=True)
    ]
    return {"method": method, "how": how, "seed": seed, "images": images, "class_weights": stars, "level": level}


def image_identity(run: "Run", split: str, index: int) -> dict[str, Any]:
    """Return the index of an image, its name, and its class at every level."""
    images, levels = run.dataset.split(split), run.dataset.own_info.levels
    labels = {level: int(images.labels[level][index]) for level in levels}
    classes = {level: levels[level][label] if label >= 0 else None for level, label in labels.items()}
    return {"index": index, "name": images.names[index], **classes}


def weights_layer(run: "Run") -> FeatureLayer:
    """Return the layer whose features the class weights of the run's method belong to.

    Raises:
        InputError: The method has none.
    """
    return _weights(run)[1]


def _weights(run: "Run") -> "tuple[Tensor, FeatureLayer]":
    found = run.store.method.class_weights()
    if found is None:
        name = run.folder.config().method["name"]
        raise InputError("class_weights", f"the method {name} has none among its features", "leave the option out")
    return found[0].cpu(), found[1]
