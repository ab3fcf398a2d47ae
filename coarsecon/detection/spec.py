"""Resolve layers of settings to a detector's training that is ready to start."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from coarsecon import recipes
from coarsecon.config import RESUMABLE, merge, validate
from coarsecon.detection.backbone import resnet_of
from coarsecon.detection.data import format_of, read_split
from coarsecon.detection.masks import require_pycocotools
from coarsecon.detection.model import build_detector
from coarsecon.detection.samples import DetectionSet, check_classes
from coarsecon.detection.settings import DetectionConfig
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import open_encoder
from coarsecon.run.results import word
from coarsecon.runtime.device import choose_device, choose_precision

DEFAULT_RECIPES = {"voc": "voc-c4-24k", "coco": "coco-mask-c4-1x"}

NOT_IN_NAME = RESUMABLE | {"data.paths", "recipe"}
"""Settings that a result's name leaves out: where it ran, or what the name says otherwise."""

MAX_SETTINGS_LENGTH = 120
"""Characters of the settings in a result's name; a file name has at most 255."""


@dataclass(frozen=True)
class DetectionSpec:
    """A detector's training that is ready to start."""

    run: RunFolder
    config: DetectionConfig
    train: DetectionSet
    test: DetectionSet
    classes: list[str]
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in a pass over the training images."""
        return len(self.train.images) // self.config.run.batch_size

    def build(self) -> GeneralizedRCNN:
        """Build the detector on its device; the seed decides its new layers."""
        encoder = open_encoder(self.run, self.config.model.encoder)
        with torch.random.fork_rng():
            torch.manual_seed(self.config.run.seed)
            detector = build_detector(encoder, self.config.model, self.config.sizes, len(self.classes))
        return detector.to(self.device)


def resolve_config(layers: Mapping[str, Any]) -> DetectionConfig:
    """Check and resolve settings; only the device may stay `auto`. The default recipe depends on the data format.

    Raises:
        InputError: A setting, a folder or the device cannot be used, or pycocotools is missing.
    """
    require_pycocotools()
    config = validate(DetectionConfig, layers)  # first, for what follows reads folders
    if not config.data.paths:
        raise InputError("data.paths", "no dataset is given", "name a folder in VOC or COCO format")
    if "recipe" not in layers:
        name = DEFAULT_RECIPES[format_of(config.data.paths[0])]
        config = validate(DetectionConfig, merge(recipes.read(name, "detect"), layers))
    precision = choose_precision(config.run.precision, choose_device(config.run.device))
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"paths": [path.resolve() for path in config.data.paths]}),
            "run": config.run.model_copy(update={"precision": precision}),
        }
    )


def build_detection_spec(run: RunFolder, config: DetectionConfig) -> DetectionSpec:
    """Check the encoder, and read the annotations that resolved settings name.

    Raises:
        InputError: The encoder, images or annotations cannot be used, or images are fewer than a batch.
    """
    resnet_of(open_encoder(run, config.model.encoder), frozen=False)
    data, size = config.data, config.run.batch_size
    annotated, test = (read_split(data.paths, split, masks=config.model.masks) for split in (data.train, data.test))
    train = annotated.trainable(difficult=data.difficult)
    if len(train.images) < size:
        raise InputError(
            "run.batch_size",
            f"{size} is more than the {len(train.images)} training images with a box",
            f"set it to {max(1, min(16, len(train.images) // 2))}",
        )
    return DetectionSpec(run, config, train, test, check_classes(train, test), choose_device(config.run.device))


def result_name(config: DetectionConfig) -> str:
    """Name a result after its recipe, its data, and the settings that differ from the recipe."""
    base = DetectionConfig() if config.recipe is None else _recipe(config.recipe)
    before, after = (dict(_flat(each.model_dump(mode="json"))) for each in (base, config))
    changed = {key: value for key, value in after.items() if key not in NOT_IN_NAME and value != before[key]}
    words = [word(f"{key}={str(value).replace(' ', '')}") for key, value in changed.items()]
    if len("-".join(words)) > MAX_SETTINGS_LENGTH:
        words = [f"settings={hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]}"]
    return "-".join([config.recipe or "own", word(f"data={'+'.join(map(str, config.data.paths))}"), *words])


def _recipe(name: str) -> DetectionConfig:
    return validate(DetectionConfig, recipes.read(name, "detect"))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def default_output_dir(run: RunFolder, config: DetectionConfig) -> Path:
    """Return the folder of a training with these settings."""
    return run.root / "detection" / result_name(config)
