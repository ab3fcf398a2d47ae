"""An encoder with its input transform, saved and loaded together."""

import json
from pathlib import Path

import torch
from pydantic import Field, PositiveFloat, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coarsecon.config import BackboneSettings, Settings
from coarsecon.errors import InputError
from coarsecon.nn.backbone import create_backbone, feature_dim
from coarsecon.nn.lora import merged_state
from coarsecon.nn.weights import check_finite
from coarsecon.runtime.device import to_device
from coarsecon.runtime.file_sets import settled_file
from coarsecon.runtime.files import atomic_write
from coarsecon.views.base import View
from coarsecon.views.batch import ImageBatch
from coarsecon.views.filters import InputFilter, apply_filter
from coarsecon.views.geometry import Interpolation, Resize, ResizeMode, resized_length


class InputTransform(Settings):
    """Transform from an image to the encoder's input: antialiased resize, center crop, normalize, filter.

    `resize` square resizes both sides, shorter the shorter side, to floor(size / crop_pct) pixels, from which the
    center is cropped. These are timm's crop_mode squash and center.
    """

    size: int = Field(gt=0, le=2**16)
    mean: tuple[float, float, float]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    resize: ResizeMode = "square"
    interpolation: Interpolation = "bilinear"
    crop_pct: float = Field(1.0, ge=0.05, le=1)
    filter: InputFilter = "none"

    @property
    def framing(self) -> str:
        """Describe resize and crop in words."""
        length, by = resized_length(self.size, self.crop_pct), f"by antialiased {self.interpolation}"
        crop = f", the center cropped to {self.size} x {self.size} px"
        if self.resize == "shorter":
            return f"the shorter side resized to {length} px {by}{crop}"
        return f"the complete image resized to {length} x {length} px {by}{crop * (length != self.size)}"

    def uncropped(self) -> "InputTransform":
        """Return the same transform for complete images, resized to the square."""
        return self.model_copy(update={"resize": "square", "crop_pct": 1.0})

    @property
    def normalization(self) -> str:
        """Describe mean and std in words."""
        mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean}, std {std}"


class EncoderCard(Settings):
    """Description of a saved encoder: the file `encoder.json` next to its weights."""

    backbone: BackboneSettings
    input: InputTransform

    @field_validator("backbone")
    @classmethod
    def _without_other_weights(cls, backbone: BackboneSettings) -> BackboneSettings:
        """Ignore other initial weights, because a saved encoder comes with its weights and their input transform."""
        own = {"pretrained": False, "weights": None, "weights_key": None, "input_transform": "auto"}
        return backbone.model_copy(update=own)


class Encoder(nn.Module):
    """A backbone in evaluation mode with its input transform."""

    def __init__(self, backbone: nn.Module, card: EncoderCard) -> None:
        super().__init__()
        self.backbone = backbone
        self.card = card
        self.dim = feature_dim(backbone)
        image = card.input
        self._view = View(image.size, image.mean, image.std, Resize(image.resize, image.interpolation, image.crop_pct))
        self._whole_view = View(image.size, image.mean, image.std, Resize(interpolation=image.interpolation))

    def embed(self, batch: ImageBatch) -> Tensor:
        """Compute L2-normalized `features` [N, D]."""
        return nn.functional.normalize(self.features(batch), dim=1)

    @torch.no_grad()
    def features(self, batch: ImageBatch, *, mirrored: bool = False, whole: bool = False) -> Tensor:
        """Compute float32 features [N, D] of a batch of 8-bit images, or of their mirror images, not normalized.

        Keeps the mode of the backbone. For `whole`, see `inputs`.
        """
        training = self.backbone.training
        self.backbone.eval()
        try:
            features: Tensor = self.backbone(self.inputs(batch, mirrored=mirrored, whole=whole)).float()
            return features
        finally:
            self.backbone.train(training)

    def inputs(self, batch: ImageBatch, *, mirrored: bool = False, whole: bool = False) -> Tensor:
        """Apply the input transform to a batch of 8-bit images, giving [N, 3, S, S].

        `whole` resizes complete images to the square, without a crop; images that are cropped to it stay as they are.
        """
        images = (self._whole_view if whole else self._view)(batch, None)
        images = apply_filter(self.card.input.filter, images.flip(3) if mirrored else images)
        return images.contiguous(memory_format=torch.channels_last)


def plain_state(module: nn.Module) -> dict[str, Tensor]:
    """Copy the state of a network to the CPU, in contiguous memory format, for safetensors.

    Each entry is a separate copy, because safetensors refuses weights that layers share. Low-rank adapters are merged.
    """
    plain = torch.contiguous_format
    return {name: value.detach().cpu().clone(memory_format=plain) for name, value in merged_state(module).items()}


def save_encoder(backbone: nn.Module, card: EncoderCard, path: Path) -> None:
    """Write the weights to `path` (.safetensors) and the card next to them (.json), each atomically."""
    atomic_write(path, save(plain_state(backbone), metadata={"format": "pt"}))
    atomic_write(path.with_suffix(".json"), json.dumps(card.model_dump(mode="json"), indent=2))


def read_card(path: Path) -> EncoderCard:
    """Read the card of an encoder.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no card.
    """
    try:
        return EncoderCard.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(path, f"is no card of an encoder ({reason})", "fix or move it") from None


def load_encoder(path: Path, device: torch.device | str = "cpu") -> Encoder:
    """Load the encoder saved at `path` to `device`, in evaluation mode.

    Raises:
        FileNotFoundError: A file is missing.
        InputError: A file is damaged, or the two do not belong together.
    """
    card_path = path.with_suffix(".json")
    try:
        card = EncoderCard.model_validate_json(card_path.read_bytes())
        state = load_file(path)
    except FileNotFoundError as error:
        if settled_file(path) != path:  # a training has moved it in the meantime
            return load_encoder(settled_file(path), device)
        raise FileNotFoundError(error.errno, error.strerror, error.filename or str(path)) from None
    except (OSError, SafetensorError, ValidationError, ValueError) as error:
        raise InputError(
            path, f"the encoder cannot be read ({str(error).splitlines()[0]})", "copy it again or retrain"
        ) from None
    check_finite(state, path)
    backbone = create_backbone(card.backbone, card.input.size)
    try:
        backbone.load_state_dict(state)
    except RuntimeError:
        raise InputError(
            path, f"the weights are not those of {card.backbone.name}, named in {card_path.name}"
        ) from None
    return Encoder(to_device(backbone, device).eval(), card)
