"""A folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` loads."""

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.models import split_model_name_tag
from torch import Tensor, nn

from coarsecon.exporters.subject import Subject
from coarsecon.nn import resnet12, small_stem
from coarsecon.nn.backbone import model_args
from coarsecon.nn.small_stem import first_convolution

TOLERANCE = 1e-6
KEPT = ("first_conv", "classifier", "fixed_input_size")
"""What of timm's own description of the architecture holds for these weights too."""


def write(subject: Subject, folder: Path, *, weights: str = "encoder.safetensors") -> list[str]:
    """Weights and timm's `config.json`; `model.py` where timm lacks the architecture. Returns what to know of it."""
    save_file(subject.state(), folder / weights, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(describe(subject), indent=2), encoding="utf-8")
    subject.write_card(folder)
    extension = architecture_module(subject)
    if extension is not None:
        (folder / "model.py").write_text(inspect.getsource(extension), encoding="utf-8")
    equal = subject.compare("what timm loads", lambda images: _features(folder, subject.inputs(images)), TOLERANCE)
    notes = [f"timm.create_model('local-dir:FOLDER', pretrained=True) gives {equal}"]
    if extension is not None:
        notes.append("timm has no such architecture: import model.py of that folder first, which registers it")
    if subject.card.input.filter != "none":
        notes.append(f"timm knows no {subject.card.input.filter} filter: apply it after the normalisation")
    return notes


def describe(subject: Subject) -> dict[str, Any]:
    """timm's `config.json`; what timm has no word for, such as the filter, stands under `coarsecon`."""
    settings, recipe, backbone = subject.card.backbone, subject.card.input, subject.encoder.backbone
    name, args = split_model_name_tag(settings.name)[0], model_args(settings, recipe.size)
    if architecture_module(subject) is small_stem:
        name, args = "small_stem", {"base": name, "keep_pool": settings.stem == "small-pool", **args}
    of_timm: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    return {
        "architecture": name,
        "num_classes": 0,
        "num_features": subject.encoder.dim,
        "model_args": args,
        "pretrained_cfg": {
            **{key: of_timm[key] for key in KEPT if of_timm.get(key) is not None},
            "num_classes": 0,
            "input_size": [3, recipe.size, recipe.size],
            "interpolation": recipe.interpolation,
            "crop_mode": "squash",
            "crop_pct": 1.0,
            "mean": list(recipe.mean),
            "std": list(recipe.std),
        },
        "coarsecon": {"input": recipe.model_dump(mode="json"), "method": subject.run.config().method},
    }


def architecture_module(subject: Subject) -> ModuleType | None:
    """The module that registers this architecture with timm; None where timm has it."""
    settings = subject.card.backbone
    if split_model_name_tag(settings.name)[0] == "resnet12":  # its stem is small as it is
        return resnet12
    is_small = settings.stem != "standard" and first_convolution(subject.encoder.backbone) is not None
    return small_stem if is_small else None


@torch.no_grad()
def _features(folder: Path, inputs: Tensor) -> Tensor:
    model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    features: Tensor = model(inputs)
    return features
