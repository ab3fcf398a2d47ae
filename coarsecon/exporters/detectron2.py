"""Weights for detectron2's ResNet backbones, and the settings that go with them.

detectron2 reads a pickled dictionary `{"model": {name: array}, ...}`; ours holds NumPy arrays and text alone.
"""

import json
import pickle
import re
from pathlib import Path

from coarsecon.errors import InputError
from coarsecon.exporters.subject import Subject
from coarsecon.exporters.torchvision import resnet_depth


def write(subject: Subject, folder: Path) -> list[str]:
    """`encoder.pkl` and `detectron2.yaml`. Returns what to know of them.

    Raises:
        InputError: detectron2 has no such backbone.
    """
    depth = resnet_depth(subject, "detectron2")
    if subject.card.backbone.stem != "standard":
        raise InputError("--format detectron2 is for the standard stem (7x7, stride 2, max-pool), which it always has")
    model = {renamed(name): value.numpy() for name, value in subject.state().items() if "num_batches" not in name}
    content = {"model": model, "__author__": "coarsecon", "matching_heuristics": True}
    (folder / "encoder.pkl").write_bytes(pickle.dumps(content))
    (folder / "detectron2.yaml").write_text(settings(subject, depth), encoding="utf-8")
    subject.write_card(folder)
    notes = ["use detectron2.yaml as a config's _BASE_, or merge it; its WEIGHTS is relative to where you start"]
    if subject.card.input.filter != "none":
        notes.append(f"detectron2 does not apply the {subject.card.input.filter} filter this encoder was trained with")
    return notes


def renamed(name: str) -> str:
    """What detectron2 calls one of timm's (and torchvision's) entries of a ResNet."""
    name = name if name.startswith("layer") else f"stem.{name}"
    name = re.sub(r"^layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)", r"conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def settings(subject: Subject, depth: int) -> str:
    """The part of a config that belongs to the weights; pixels are RGB on a scale of 0 to 255."""
    recipe = subject.card.input
    mean, std = (json.dumps([round(255 * value, 4) for value in values]) for values in (recipe.mean, recipe.std))
    lines = [
        "INPUT:", "  FORMAT: RGB",
        "MODEL:", "  WEIGHTS: encoder.pkl", f"  PIXEL_MEAN: {mean}", f"  PIXEL_STD: {std}",
        "  RESNETS:", f"    DEPTH: {depth}", "    STRIDE_IN_1X1: false",
    ]  # fmt: skip
    lines += ["    RES2_OUT_CHANNELS: 64"] * (depth < 50)
    return "\n".join(lines) + "\n"
