"""Input transform of a network on a dataset: that of its initial weights, or the dataset's statistics."""

from pathlib import Path
from typing import Literal

from coarsecon.config import BackboneSettings
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.nn.encoder import InputTransform
from coarsecon.nn.published import PublishedTransform, find_published_transform


def choose_input_transform(
    backbone: BackboneSettings, dataset: PreparedDataset, size: int
) -> tuple[Literal["weights", "dataset"], InputTransform, str]:
    """Return what `backbone.input_transform` means for this run, the transform, and a note on it.

    The note is empty for random initial weights and the dataset's statistics.

    Raises:
        InputError: The description of the weights is malformed, or timm has no such model.
    """
    choice = backbone.input_transform
    if choice == "weights" or (choice == "auto" and backbone.starts_from_weights):
        transform, origin = transform_of_weights(backbone.name, dataset, size, backbone.weights)
        note = f"Input transform of the weights ({origin}): {transform.normalization}, {transform.framing}."
        return "weights", transform, note
    transform = InputTransform(size=size, mean=dataset.info.mean, std=dataset.info.normalizing_std)
    note = "Input transform: images resized to a square and normalized by the statistics of the dataset."
    return "dataset", transform, note * backbone.starts_from_weights


def transform_of_weights(
    name: str, dataset: PreparedDataset | None, size: int | None, file: Path | None = None
) -> PublishedTransform:
    """Return the input transform of published weights for the images of a dataset, with its origin.

    A dataset of squares in one array is never cropped. Raises as `find_published_transform` does.
    """
    found = find_published_transform(name, size, file)
    is_square = dataset is not None and dataset.info.form == "array"
    return found._replace(transform=found.transform.uncropped()) if is_square else found
