"""Write timm's published weights, or random ones, as a run folder without training."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from coarsecon.config import BackboneSettings, DataSettings, Pooling, RunConfig
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.importers.writing import write_run
from coarsecon.nn.backbone import check_image_size, create_backbone
from coarsecon.nn.encoder import InputTransform
from coarsecon.train.input_transform import transform_of_weights

RANDOM_SEED = 0
"""Seed of random weights."""


def write_timm_run(
    name: str,
    out: Path,
    dataset: PreparedDataset,
    *,
    weights: Literal["published", "random"] = "published",
    size: int | None = None,
    pooling: Pooling | None = None,
) -> None:
    """Write a timm model as the run folder `out`, which every evaluation accepts.

    Args:
        name: Name of the model, with or without that of its weights.
        out: The run folder to write.
        dataset: The dataset of the run; its statistics normalize the images of random weights.
        weights: The published weights, which are downloaded unless they are cached, or random ones.
        size: Image size in pixels (default: that of published weights, else that of the dataset).
        pooling: Features of a transformer (default: timm's pooling).

    Raises:
        InputError: There is no such model, or it does not take images of this size.
        CoarseconError: The weights cannot be downloaded.
    """
    if out.exists():
        raise InputError(out, "exists already", "choose another folder")
    if weights == "published":
        transform = transform_of_weights(name, dataset, size).transform
    else:
        info = dataset.info
        transform = InputTransform(size=size or info.size, mean=info.mean, std=info.normalizing_std)
    settings = BackboneSettings(
        name=name, stem="standard", init="torchvision", pretrained=weights == "published", pooling=pooling
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        network = _create(settings, transform.size)
    check_image_size(network, transform.size)
    config = RunConfig(
        data=DataSettings(path=dataset.root.resolve(), size=transform.size),
        backbone=settings.model_copy(update={"pretrained": False}),
        method={"name": "timm"},
    )
    write_run(out, config, network, transform, origin_of(name, weights), frozen=True)


def origin_of(name: str, weights: Literal["published", "random"]) -> dict[str, Any]:
    """Return the record of the origin of such a run in its `environment.json`."""
    return {"from": "timm", "model": name, "weights": weights}


def _create(settings: BackboneSettings, size: int) -> nn.Module:
    try:
        return create_backbone(settings, size)
    except InputError:
        raise
    except CoarseconError as error:
        hint = f"check the network, or download them on another machine and pass {settings.name}=FILE"
        raise CoarseconError(settings.name, "the weights cannot be downloaded, and are not cached", hint) from error
