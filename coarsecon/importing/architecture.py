"""Which network weights are of: told by their names and shapes, and brought to timm's names."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]

DEPTHS: dict[tuple[str, tuple[int, ...]], str] = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
}


def recognise(state: State) -> tuple[dict[str, Any], dict[str, str]] | None:
    """Settings of the backbone (`name`, `stem`) and timm's name of each entry by the file's; None for other networks.

    ResNets of torchvision's form, whole or as a numbered sequence of their parts, with the usual stem or one of 3x3;
    and the few-shot field's ResNet-12.
    """
    names, keeps_pool = _from_sequence(state) if "0.weight" in state else ({name: name for name in state}, False)
    names = {theirs: ours.replace(".shortcut.", ".downsample.") for theirs, ours in names.items()}
    blocks = tuple(len({ours.split(".")[1] for ours in names.values() if ours.startswith(f"layer{i}.")})
                   for i in range(1, 5))  # fmt: skip
    has_three = "layer1.0.conv3.weight" in names.values()
    stem = next((state[theirs] for theirs, ours in names.items() if ours == "conv1.weight"), None)
    if stem is None:
        if blocks == (1, 1, 1, 1) and has_three:
            return {"name": "resnet12", "stem": "standard"}, {theirs: _resnet12(ours) for theirs, ours in names.items()}
        return None
    name = DEPTHS.get(("bottleneck" if has_three else "basic", blocks))
    if name is None or stem.ndim != 4:
        return None
    small = "small-pool" if keeps_pool else "small"
    return {"name": name, "stem": "standard" if stem.shape[-1] == 7 else small}, names


def _from_sequence(state: State) -> tuple[dict[str, str], bool]:
    """Names of `nn.Sequential(conv1, bn1, relu, [maxpool,] layer1, ..., layer4)`, and whether the pool is there."""
    places = sorted({int(place) for name in state if (place := name.partition(".")[0]).isdigit()})
    deep = [place for place in places if place > 1]
    keeps_pool = bool(deep) and deep[0] == 4
    parts = {0: "conv1", 1: "bn1", **{place: f"layer{i}" for i, place in enumerate(deep, start=1)}}
    names = {}
    for name in state:
        place, _, rest = name.partition(".")
        names[name] = f"{parts[int(place)]}.{rest}" if place.isdigit() else name
    return names, keeps_pool


def _resnet12(name: str) -> str:
    name = re.sub(r"^layer(\d)\.0\.", lambda found: f"stages.{int(found[1]) - 1}.", name)
    return name.replace(".downsample.", ".shortcut.")
