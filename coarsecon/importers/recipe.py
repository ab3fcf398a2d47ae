"""What a checkpoint does not say of itself: which network, and what its images looked like."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from coarsecon.config import BackboneSettings
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.nn.architecture import recognize
from coarsecon.nn.backbone import SMALL_IMAGE_SIZE
from coarsecon.nn.checkpoint import ForeignCheckpoint
from coarsecon.nn.encoder import EncoderCard, InputTransform
from coarsecon.nn.places import choose_place, places
from coarsecon.views.filters import InputFilter

Statistics = Literal["imagenet", "cifar10", "cifar100", "data"]
Stem = Literal["small", "small-pool", "standard"]

STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.507, 0.487, 0.441), (0.267, 0.256, 0.276)),
}
"""Mean and std of the channels, as the published codes have them."""


MIN_ENTRIES = 30
"""Minimum number of entries of a network that is recognized; ResNet-12 has 60."""


@dataclass(frozen=True)
class Wishes:
    """What the user says; None: what the card beside the file says, else the weights, the dataset or custom."""

    backbone: str | None = None
    stem: Stem | None = None
    size: int | None = None
    normalise: Statistics | None = None
    filter: InputFilter | None = None
    key: str | None = None
    """Key or part of the prefix of the weights, of a file that holds several."""


def card_beside(file: Path) -> EncoderCard | None:
    """The card that `coarsecon export` puts beside the weights, where there is one."""
    path = file.with_name("encoder.json")
    if not path.is_file():
        return None
    try:
        return EncoderCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not an encoder's card ({str(error).splitlines()[0]}); mend or move it") from None


def find_backbone(
    checkpoint: ForeignCheckpoint, prefixes: tuple[str, ...], wishes: Wishes, card: EncoderCard | None, file: Path
) -> BackboneSettings:
    """The network, where the user names none: that of the card, or a ResNet recognized by its weights.

    Weights below `prefixes` are looked at first.

    Raises:
        InputError: it is not recognized, and the user does not name it.
    """
    if card is not None and wishes.backbone is None:
        return card.backbone
    candidates = places(checkpoint, min_entries=MIN_ENTRIES, key=wishes.key, path=file)
    found = {place: known[0] for place in candidates if (known := recognize(place.state)) is not None}
    found = {place: known for place, known in found.items() if wishes.backbone in (None, known["name"])}
    if found:
        settings = found[choose_place(list(found), prefixes)]
        return BackboneSettings(**{**settings, "stem": wishes.stem or settings["stem"]})
    if wishes.backbone is None:
        raise InputError(f"{file}: not a ResNet that is recognised by its weights; say --backbone TIMM_NAME")
    return BackboneSettings(name=wishes.backbone, stem=wishes.stem or "standard")


def find_recipe(
    backbone: BackboneSettings, wishes: Wishes, card: EncoderCard | None, dataset: PreparedDataset | None
) -> tuple[InputTransform, list[str]]:
    """The input transform, and which parts of it are assumptions.

    Raises:
        InputError: the statistics of small images are not known.
    """
    if card is not None:
        said = {"size": wishes.size, "filter": wishes.filter}
        recipe = card.input.model_copy(update={key: value for key, value in said.items() if value is not None})
        return (recipe if wishes.normalise is None else _normalised(recipe, wishes.normalise, dataset)), []
    assumed = []
    is_small = backbone.stem != "standard" or backbone.name == "resnet12"
    size = wishes.size or (dataset.info.size if dataset else (32 if is_small else 224))
    if wishes.size is None:
        assumed.append(f"images of {size} px ({'as the dataset has' if dataset else 'usual for this network'}; --size)")
    statistics = wishes.normalise or ("imagenet" if size > SMALL_IMAGE_SIZE else "data" if dataset else None)
    if statistics is None:
        raise InputError("which statistics were its images normalised by? Pass --normalise imagenet, cifar10, cifar100")
    if wishes.normalise is None:
        assumed.append(f"images normalised by the statistics of {statistics} (--normalise)")
    plain = InputTransform(size=size, mean=(0, 0, 0), std=(1, 1, 1), filter=wishes.filter or "none")
    return _normalised(plain, statistics, dataset), assumed


def _normalised(recipe: InputTransform, statistics: Statistics, dataset: PreparedDataset | None) -> InputTransform:
    if statistics != "data":
        mean, std = STATISTICS[statistics]
    elif dataset is not None:
        mean, std = dataset.info.mean, dataset.info.normalizing_std
    else:
        raise InputError("--normalise data needs --data")
    return recipe.model_copy(update={"mean": mean, "std": std})
