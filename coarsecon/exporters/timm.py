"""A folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` loads."""

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import timm
from safetensors.torch import save_file
from timm.models import split_model_name_tag
from torch import nn

from coarsecon.exporters.base import Exporter, ExporterConfig
from coarsecon.exporters.comparison import compare, encoder_of, inputs_of, weights_of, write_card
from coarsecon.nn import resnet12, small_stem
from coarsecon.nn.backbone import model_args
from coarsecon.nn.encoder import Encoder
from coarsecon.nn.pooling import pooling_arguments
from coarsecon.nn.small_stem import first_convolution

if TYPE_CHECKING:
    from coarsecon.run.facade import Run

TOLERANCE = 1e-6
KEPT_KEYS = ("first_conv", "classifier", "fixed_input_size")
"""Keys of timm's own description of an architecture that hold for these weights too."""


class Timm(Exporter):
    """A folder that timm loads as `local-dir:FOLDER`."""

    def export(self, run: "Run", folder: Path, config: ExporterConfig) -> list[str]:
        """Write `encoder.safetensors` and `config.json`; `model.py` where timm lacks the architecture."""
        return write_folder(run, folder, weights="encoder.safetensors")


def write_folder(run: "Run", folder: Path, *, weights: str) -> list[str]:
    """Write the files that timm loads, with the weights in the file of that name; returns notes."""
    encoder = encoder_of(run)
    save_file(weights_of(encoder), folder / weights, metadata={"format": "pt"})
    description = describe(encoder, run.folder.config().method)
    (folder / "config.json").write_text(json.dumps(description, indent=2), encoding="utf-8")
    write_card(encoder, folder)
    extension = architecture_module(encoder)
    if extension is not None:
        (folder / "model.py").write_text(inspect.getsource(extension), encoding="utf-8")
    equal = compare(
        encoder, "the model that timm loads", lambda images: _load(folder)(inputs_of(encoder, images)), TOLERANCE
    )
    notes = [f"timm.create_model('local-dir:FOLDER', pretrained=True) returns {equal}"]
    if extension is not None:
        notes.append("timm lacks this architecture: import model.py of that folder first, which registers it")
    if encoder.card.input.filter != "none":
        notes.append(f"timm has no {encoder.card.input.filter} filter: apply it after the normalization")
    return notes


def describe(encoder: Encoder, method: dict[str, Any]) -> dict[str, Any]:
    """Return timm's `config.json`; what timm does not describe, such as the filter, is in `coarsecon`."""
    settings, recipe, backbone = encoder.card.backbone, encoder.card.input, encoder.backbone
    name = split_model_name_tag(settings.name)[0]
    args = model_args(settings, recipe.size) | pooling_arguments(backbone, settings.pooling)
    if architecture_module(encoder) is small_stem:
        name, args = "small_stem", {"base": name, "keep_pool": settings.stem == "small-pool", **args}
    of_timm: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    return {
        "architecture": name,
        "num_classes": 0,
        "num_features": encoder.dim,
        "model_args": args,
        "pretrained_cfg": {
            **{key: of_timm[key] for key in KEPT_KEYS if of_timm.get(key) is not None},
            "num_classes": 0,
            "input_size": [3, recipe.size, recipe.size],
            "interpolation": recipe.interpolation,
            "crop_mode": "squash" if recipe.resize == "square" else "center",
            "crop_pct": recipe.crop_pct,
            "mean": list(recipe.mean),
            "std": list(recipe.std),
        },
        "coarsecon": {"input": recipe.model_dump(mode="json"), "method": method},
    }


def architecture_module(encoder: Encoder) -> ModuleType | None:
    """Return the module that registers this architecture with timm; None where timm has it."""
    settings = encoder.card.backbone
    if split_model_name_tag(settings.name)[0] == "resnet12":  # its stem is small as it is
        return resnet12
    is_small = settings.stem != "standard" and first_convolution(encoder.backbone) is not None
    return small_stem if is_small else None


def _load(folder: Path) -> nn.Module:
    model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return model.eval()
