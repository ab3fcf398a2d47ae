"""An encoder with its input transform: the two never travel apart."""

import json
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coarsecon.config import BackboneSettings, Settings
from coarsecon.errors import InputError
from coarsecon.nn.backbone import create_backbone, feature_dim
from coarsecon.nn.weights import check_finite
from coarsecon.runtime.device import to_device
from coarsecon.runtime.file_sets import settled_file
from coarsecon.runtime.files import atomic_write
from coarsecon.views.batch import ImageBatch
from coarsecon.views.filters import InputFilter, apply_filter
from coarsecon.views.presets import test_view


class InputTransform(Settings):
    """How an image becomes the encoder's input: resized to a square by antialiased bilinear, normalised, filtered."""

    size: int = Field(gt=0, le=2**16)
    mean: tuple[float, float, float]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    resize: Literal["square"] = "square"
    interpolation: Literal["bilinear"] = "bilinear"
    filter: InputFilter = "none"


class EncoderCard(Settings):
    """What is needed to build an encoder again: stands beside its weights as `encoder.json`."""

    backbone: BackboneSettings
    input: InputTransform

    @field_validator("backbone")
    @classmethod
    def _without_other_weights(cls, backbone: BackboneSettings) -> BackboneSettings:
        """A saved encoder has its own weights: whatever its card says, none are fetched or read from elsewhere."""
        return backbone.model_copy(update={"pretrained": False, "weights": None, "weights_key": None})


class Encoder(nn.Module):
    """A backbone in evaluation mode behind its input transform."""

    def __init__(self, backbone: nn.Module, card: EncoderCard) -> None:
        super().__init__()
        self.backbone = backbone
        self.card = card
        self.dim = feature_dim(backbone)
        self._view = test_view(card.input.size, card.input.mean, card.input.std)

    def embed(self, batch: ImageBatch) -> Tensor:
        """L2-normalised `features` [N, D]."""
        return nn.functional.normalize(self.features(batch), dim=1)

    @torch.no_grad()
    def features(self, batch: ImageBatch, *, mirrored: bool = False) -> Tensor:
        """Float32 features [N, D] of a batch of 8-bit images, or of their mirror images, as the backbone gives them.

        Leaves the backbone's mode as it was.
        """
        training = self.backbone.training
        self.backbone.eval()
        try:
            features: Tensor = self.backbone(self.inputs(batch, mirrored=mirrored)).float()
            return features
        finally:
            self.backbone.train(training)

    def inputs(self, batch: ImageBatch, *, mirrored: bool = False) -> Tensor:
        """What the backbone is shown [N, 3, S, S] of a batch of 8-bit images, by the input transform."""
        images = self._view(batch, None)
        images = apply_filter(self.card.input.filter, images.flip(3) if mirrored else images)
        return images.contiguous(memory_format=torch.channels_last)


def plain_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a network on the CPU, in torch's usual layout, as safetensors writes it.

    Each entry is a copy, for layers may share their weights, which safetensors refuses.
    """
    plain = torch.contiguous_format
    return {name: value.detach().cpu().clone(memory_format=plain) for name, value in module.state_dict().items()}


def save_encoder(backbone: nn.Module, card: EncoderCard, path: Path) -> None:
    """Write the weights to `path` (.safetensors) and the card beside them (.json), each in one move."""
    atomic_write(path, save(plain_state(backbone), metadata={"format": "pt"}))
    atomic_write(path.with_suffix(".json"), json.dumps(card.model_dump(mode="json"), indent=2))


def load_encoder(path: Path, device: torch.device | str = "cpu") -> Encoder:
    """The encoder saved at `path`, on `device`, in evaluation mode.

    Raises:
        FileNotFoundError: a file is missing.
        InputError: a file is damaged, or the two do not belong together.
    """
    card_path = path.with_suffix(".json")
    try:
        card = EncoderCard.model_validate_json(card_path.read_bytes())
        state = load_file(path)
    except FileNotFoundError as error:
        if settled_file(path) != path:  # a training has put it in place in the meantime
            return load_encoder(settled_file(path), device)
        raise FileNotFoundError(error.errno, error.strerror, error.filename or str(path)) from None
    except (OSError, SafetensorError, ValidationError, ValueError) as error:
        raise InputError(f"{path}: the encoder cannot be read ({str(error).splitlines()[0]})") from None
    check_finite(state, path)
    backbone = create_backbone(card.backbone, card.input.size)
    try:
        backbone.load_state_dict(state)
    except RuntimeError:
        raise InputError(
            f"{path}: the weights do not belong to {card.backbone.name} as {card_path.name} says"
        ) from None
    return Encoder(to_device(backbone, device).eval(), card)
