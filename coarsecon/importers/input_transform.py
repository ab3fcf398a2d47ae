"""Facts that a checkpoint does not record: the network, and the input transform of its images."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from coarsecon.config import BackboneSettings
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.importers.base import ImporterConfig, Statistics
from coarsecon.nn.architecture import recognize
from coarsecon.nn.backbone import SMALL_IMAGE_SIZE
from coarsecon.nn.checkpoint import ForeignCheckpoint
from coarsecon.nn.encoder import EncoderCard, InputTransform
from coarsecon.nn.places import choose_place, places

STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.507, 0.487, 0.441), (0.267, 0.256, 0.276)),
}
"""Mean and std of the channels, as in the published code."""


MIN_ENTRIES = 30
"""Minimum number of entries of a network that is recognized; ResNet-12 has 60."""


def card_of(file: Path) -> EncoderCard | None:
    """Read the card that `coarsecon export` writes next to the weights; None if there is none."""
    path = file.with_name("encoder.json")
    if not path.is_file():
        return None
    try:
        return EncoderCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, json.JSONDecodeError) as error:
        raise InputError(path, f"is no card of an encoder ({str(error).splitlines()[0]})", "fix or move it") from None


def find_backbone(
    checkpoint: ForeignCheckpoint, prefixes: Sequence[str], config: ImporterConfig, card: EncoderCard | None, file: Path
) -> BackboneSettings:
    """Return the network that the user names, else that of the card, else the ResNet that the weights belong to.

    Weights below `prefixes` are preferred.

    Raises:
        InputError: The network is not recognized, and the user does not name it.
    """
    if card is not None and config.backbone is None:
        return card.backbone
    candidates = places(checkpoint, min_entries=MIN_ENTRIES, key=config.weights_key, path=file)
    found = {place: known[0] for place in candidates if (known := recognize(place.state)) is not None}
    found = {place: known for place, known in found.items() if config.backbone in (None, known["name"])}
    if found:
        settings = found[choose_place(list(found), tuple(prefixes))]
        return BackboneSettings(**{**settings, "stem": config.stem or settings["stem"]})
    if config.backbone is None:
        raise InputError(file, "is not recognized as a ResNet by its weights", "set backbone to its timm name")
    return BackboneSettings(name=config.backbone, stem=config.stem or "standard", pooling=config.pooling)


def find_input_transform(
    backbone: BackboneSettings, config: ImporterConfig, card: EncoderCard | None, dataset: PreparedDataset | None
) -> tuple[InputTransform, list[str]]:
    """The input transform, and which parts of it are assumptions.

    Raises:
        InputError: the statistics of small images are not known.
    """
    if card is not None:
        said = {"size": config.size, "filter": config.filter}
        recipe = card.input.model_copy(update={key: value for key, value in said.items() if value is not None})
        return (recipe if config.normalize is None else _normalized(recipe, config.normalize, dataset)), []
    assumed = []
    is_small = backbone.stem != "standard" or backbone.name == "resnet12"
    size = config.size or (dataset.info.size if dataset else (32 if is_small else 224))
    if config.size is None:
        assumed.append(f"size: images of {size} px, {'that of the dataset' if dataset else 'usual for this network'}")
    statistics = config.normalize or ("imagenet" if size > SMALL_IMAGE_SIZE else "data" if dataset else None)
    if statistics is None:
        raise InputError("normalize", "the mean and std of its images are unknown", f"choose {', '.join(STATISTICS)}")
    if config.normalize is None:
        assumed.append(f"normalize: images normalized by the statistics of {statistics}")
    plain = InputTransform(size=size, mean=(0, 0, 0), std=(1, 1, 1), filter=config.filter or "none")
    return _normalized(plain, statistics, dataset), assumed


def _normalized(recipe: InputTransform, statistics: Statistics, dataset: PreparedDataset | None) -> InputTransform:
    if statistics != "data":
        mean, std = STATISTICS[statistics]
    elif dataset is not None:
        mean, std = dataset.info.mean, dataset.info.normalizing_std
    else:
        raise InputError("normalize", "data means the statistics of a dataset", "give a prepared dataset as data")
    return recipe.model_copy(update={"mean": mean, "std": std})
