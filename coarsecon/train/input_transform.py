"""Input transform of a training: that of its initial weights, or the dataset's statistics."""

from typing import Literal

from coarsecon.config import BackboneSettings
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.nn.encoder import InputTransform
from coarsecon.nn.published import find_published_transform


def choose_input_transform(
    backbone: BackboneSettings, dataset: PreparedDataset, size: int
) -> tuple[Literal["weights", "dataset"], InputTransform, str]:
    """Return what `backbone.input_transform` means for this run, the transform, and a note on it.

    The note is empty for random initial weights and the dataset's statistics. A dataset of squares in one array is
    never cropped.

    Raises:
        InputError: The description of the weights is malformed, or timm has no such model.
    """
    choice = backbone.input_transform
    if choice == "weights" or (choice == "auto" and backbone.starts_from_weights):
        found = find_published_transform(backbone.name, size, backbone.weights)
        transform = found.transform.uncropped() if dataset.info.form == "array" else found.transform
        note = f"Input transform of the weights ({found.origin}): {transform.normalization}, {transform.framing}."
        return "weights", transform, note
    transform = InputTransform(size=size, mean=dataset.info.mean, std=dataset.info.normalizing_std)
    note = "Input transform: images resized to a square and normalized by the statistics of the dataset."
    return "dataset", transform, note * backbone.starts_from_weights
