"""A run's features as a map: projected once, kept among the run's results, and drawn from there as often as wanted."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coarsecon.config import FeatureLayer
from coarsecon.errors import InputError
from coarsecon.metrics.projection import Projection, project
from coarsecon.report.feature_map import FeatureMap, feature_map
from coarsecon.run.facade import Run
from coarsecon.run.restore import coarse_classes
from coarsecon.runtime.documents import read_json


def map_split(
    session: Run,
    split: str,
    method: Projection = "tsne",
    *,
    perplexity: float | None = None,
    seed: int = 0,
    limit: int | None = None,
    class_weights: bool = False,
) -> dict[str, Any]:
    """Where the images of a split lie in the plane, by `evaluation.projection.project`; a record that JSON can hold.

    `limit` takes so many images at random. `class_weights` are projected together with the features, of whose layer
    the session must be (`weights_layer`). `store_result(session, method, split, record)` keeps the record for
    `saved_map`.

    Raises:
        InputError: as `project` does; or the classes learned from are not those of the session's dataset.
    """
    features = session.features(split)
    chosen = _sample(len(features), limit, seed)
    rows = features[chosen]
    level, classes = session.folder.config().data.labels, []
    if class_weights:
        classes = coarse_classes(session.folder, session.spec.checkpoint)
        if classes != session.dataset.info.levels.get(level):
            raise InputError(f"--class-weights: the run learned other {level} classes than those of the dataset")
        weights, _ = _weights(session)
        rows = torch.cat([rows, torch.nn.functional.normalize(weights.float(), dim=1)])
    points, how = project(rows, method, perplexity=perplexity, seed=seed, reporter=session.reporter)
    images = [
        {**_identity(session, split, index), "x": x, "y": y}
        for index, (x, y) in zip(chosen.tolist(), points.tolist(), strict=False)
    ]
    stars = [
        {"class": name, "x": x, "y": y} for name, (x, y) in zip(classes, points[len(chosen) :].tolist(), strict=True)
    ]
    return {"method": method, "how": how, "seed": seed, "images": images, "class_weights": stars, "level": level}


def draw_map(session: Run, split: str, record: dict[str, Any], *, title: str | None = None) -> FeatureMap:
    """The map of a record of `map_split`, to be drawn by `report.map_page` and `report.map_picture`."""
    images = session.dataset.split(split)
    chosen = [image["index"] for image in record["images"]]
    labels = {level: column[chosen] for level, column in images.labels.items()}
    coarser_first = sorted(session.dataset.info.levels.items(), key=lambda level: len(level[1]))
    stars = record["class_weights"]
    return feature_map(
        [(image["x"], image["y"]) for image in record["images"]],
        lambda i: images.image(chosen[i]),
        {level: (labels[level], classes) for level, classes in coarser_first if (labels[level] >= 0).any()},
        title=title or f"{record['how']}, of {len(chosen):,} {split} images, {session.folder.root}",
        names=[images.names[index] for index in chosen],
        weights=([(star["x"], star["y"]) for star in stars], record["level"]) if stars else None,
    )


def saved_map(session: Run, file: Path, *, title: str | None = None) -> FeatureMap:
    """The map that `session.save_result` wrote to `file`, drawn from the session's dataset.

    Raises:
        InputError: the file is no such record, or not of this dataset.
    """
    try:
        record = read_json(file)
        for image in record["images"]:
            if not image.items() >= _identity(session, record["split"], image["index"]).items():
                raise ValueError(f"{image['name']} is not of {session.dataset.root}")
        return draw_map(session, record["split"], record, title=title)
    except (OSError, InputError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{file}: no map of this dataset can be drawn from it; run `coarsecon tsne` again") from error


def weights_layer(session: Run) -> FeatureLayer:
    """The layer whose features the class weights of the session's method lie among; raises InputError without any."""
    return _weights(session)[1]


def _weights(session: Run) -> tuple[Tensor, FeatureLayer]:
    found = session.store.method.class_weights()
    if found is None:
        name = session.folder.config().method["name"]
        raise InputError(f"--class-weights: the method {name} has none among its features; leave the option out")
    return found[0].cpu(), found[1]


def _sample(count: int, limit: int | None, seed: int) -> Tensor:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:limit].sort().values


def _identity(session: Run, split: str, index: int) -> dict[str, Any]:
    """Which image it is: its index, its name, and its class at every level."""
    images, levels = session.dataset.split(split), session.dataset.info.levels
    classes = {level: _class(names, int(images.labels[level][index])) for level, names in levels.items()}
    return {"index": index, "name": images.names[index], **classes}


def _class(classes: list[str], label: int) -> str | None:
    return classes[label] if label >= 0 else None
