"""Facts that a checkpoint does not record: the network, and the input transform of its images."""

from collections.abc import Sequence
from pathlib import Path

from coarsecon.config import BackboneSettings
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.importers.base import ImporterConfig, Statistics
from coarsecon.nn.architecture import recognize
from coarsecon.nn.backbone import SMALL_IMAGE_SIZE
from coarsecon.nn.checkpoint import ForeignCheckpoint
from coarsecon.nn.encoder import EncoderCard, InputTransform
from coarsecon.nn.places import choose_place, places
from coarsecon.train.input_transform import transform_of_weights

STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.507, 0.487, 0.441), (0.267, 0.256, 0.276)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and std of the channels, as in the published code."""

MIN_ENTRIES = 30
"""Minimum number of entries of a network that is recognized; ResNet-12 has 60."""


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
    backbone: BackboneSettings,
    config: ImporterConfig,
    card: EncoderCard | None,
    dataset: PreparedDataset | None,
    *,
    file: Path,
    is_published: bool,
) -> tuple[InputTransform, list[str]]:
    """Return the input transform, and which parts of it are assumptions.

    Args:
        is_published: Take the transform that timm names for the network, unless the user names another.

    Raises:
        InputError: The statistics of small images are unknown.
    """
    if card is not None:
        said = {"size": config.size, "filter": config.filter}
        recipe = card.input.model_copy(update={key: value for key, value in said.items() if value is not None})
        is_own = config.normalize in (None, "weights")
        return (recipe if is_own else _normalized(recipe, config.normalize, dataset)), []
    is_small = backbone.stem != "standard" or backbone.name == "resnet12"
    if config.normalize == "weights" or (config.normalize is None and is_published and not is_small):
        return _of_weights(backbone, config, dataset, file)
    assumed = []
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


def _of_weights(
    backbone: BackboneSettings, config: ImporterConfig, dataset: PreparedDataset | None, file: Path
) -> tuple[InputTransform, list[str]]:
    """Return the transform that timm or a file next to the weights names, at the size of the user or the dataset."""
    size = config.size or (dataset.info.size if dataset else None)
    published, origin = transform_of_weights(backbone.name, dataset, size, file)
    assumed = []
    if config.size is None:
        assumed.append(f"size: images of {published.size} px, that of the {'dataset' if dataset else 'weights'}")
    assumed.append(f"normalize: {origin}: {published.normalization}, {published.framing}")
    return published.model_copy(update={"filter": config.filter or "none"}), assumed


def _normalized(
    recipe: InputTransform, statistics: Statistics | None, dataset: PreparedDataset | None
) -> InputTransform:
    if statistics in STATISTICS:
        mean, std = STATISTICS[statistics]
    elif dataset is not None:
        mean, std = dataset.info.mean, dataset.info.normalizing_std
    else:
        raise InputError("normalize", "data means the statistics of a dataset", "give a prepared dataset as data")
    return recipe.model_copy(update={"mean": mean, "std": std})
