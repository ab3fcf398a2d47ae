"""Weights for the ResNet backbones of detectron2, and the settings that belong to them.

detectron2 reads a pickled dictionary `{"model": {name: array}, ...}`; ours holds only NumPy arrays and text.
"""

import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING

from coarsecon.errors import InputError
from coarsecon.exporters.base import Exporter, ExporterConfig
from coarsecon.exporters.comparison import encoder_of, weights_of, write_card
from coarsecon.exporters.torchvision import resnet_depth
from coarsecon.nn.encoder import EncoderCard

if TYPE_CHECKING:
    from coarsecon.run.facade import Run


class Detectron2(Exporter):
    """Weights and settings for the ResNet backbones of detectron2."""

    def export(self, run: "Run", folder: Path, config: ExporterConfig) -> list[str]:
        """Write `encoder.pkl` and `detectron2.yaml`."""
        encoder = encoder_of(run)
        card, depth = encoder.card, resnet_depth(encoder.card, "detectron2")
        if card.backbone.stem != "standard":
            problem = (
                f"has a {card.backbone.stem} stem, and detectron2 only the standard stem (7x7, stride 2, max-pool)"
            )
            raise InputError("the backbone of this run", problem, "use timm or onnx")
        weights = weights_of(encoder).items()
        model = {renamed(name): value.numpy() for name, value in weights if "num_batches" not in name}
        content = {"model": model, "__author__": "coarsecon", "matching_heuristics": True}
        (folder / "encoder.pkl").write_bytes(pickle.dumps(content))
        (folder / "detectron2.yaml").write_text(settings(card, depth), encoding="utf-8")
        write_card(encoder, folder)
        notes = ["use detectron2.yaml as _BASE_ of a config, or merge it; WEIGHTS is relative to the working directory"]
        if card.input.filter != "none":
            notes.append(f"detectron2 does not apply the {card.input.filter} filter this encoder was trained with")
        return notes


def renamed(name: str) -> str:
    """Return detectron2's name for an entry of a ResNet of timm or torchvision."""
    name = name if name.startswith("layer") else f"stem.{name}"
    name = re.sub(r"^layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    name = re.sub(r"\bbn(\d)", r"conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def settings(card: EncoderCard, depth: int) -> str:
    """Return the part of a config that belongs to the weights; pixels are RGB on a scale of 0 to 255."""
    mean, std = (
        json.dumps([round(255 * value, 4) for value in values]) for values in (card.input.mean, card.input.std)
    )
    lines = [
        "INPUT:", "  FORMAT: RGB",
        "MODEL:", "  WEIGHTS: encoder.pkl", f"  PIXEL_MEAN: {mean}", f"  PIXEL_STD: {std}",
        "  RESNETS:", f"    DEPTH: {depth}", "    STRIDE_IN_1X1: false",
    ]  # fmt: skip
    lines += ["    RES2_OUT_CHANNELS: 64"] * (depth < 50)
    return "\n".join(lines) + "\n"
