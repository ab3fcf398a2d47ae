"""Recognition of networks by the names and shapes of their weights, and conversion to timm's names."""

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


def recognize(state: State) -> tuple[dict[str, Any], dict[str, str]] | None:
    """Return the backbone's settings (`name`, `stem`) and timm's name of each entry by the file's, or None.

    Recognizes ResNets of torchvision, also as a numbered `nn.Sequential`, with a 7x7 or 3x3 stem, and the ResNet-12 of
    few-shot learning.
    """
    names = timm_names(state)
    ours = set(names.values())
    if "stages.0.conv3.weight" in ours and "conv1.weight" not in ours:
        return {"name": "resnet12", "stem": "standard"}, names
    blocks = tuple(len({name.split(".")[1] for name in ours if name.startswith(f"layer{i}.")}) for i in range(1, 5))
    name = DEPTHS.get(("bottleneck" if "layer1.0.conv3.weight" in ours else "basic", blocks))
    stem = next((state[theirs] for theirs, name in names.items() if name == "conv1.weight"), None)
    if name is None or stem is None or stem.ndim != 4:
        return None
    keeps_pool = "0.weight" in state and _layer_places(state)[:1] == [4]
    small = "small-pool" if keeps_pool else "small"
    return {"name": name, "stem": "standard" if stem.shape[-1] == 7 else small}, names


def timm_names(state: State) -> dict[str, str]:
    """Map each entry of a ResNet to timm's name; other names are kept.

    Parts of a ResNet in an `nn.Sequential` are numbered, some codes call the downsampling a shortcut, and ResNet-12 has
    no stem.
    """
    names = _from_sequence(state) if "0.weight" in state else {name: name for name in state}
    names = {theirs: ours.replace(".shortcut.", ".downsample.") for theirs, ours in names.items()}
    ours = set(names.values())
    blocks = {name.split(".")[1] for name in ours if re.match(r"layer[1-4]\.", name)}
    if "conv1.weight" not in ours and blocks == {"0"} and "layer1.0.conv3.weight" in ours:
        return {theirs: _resnet12(name) for theirs, name in names.items()}
    return names


def _layer_places(state: State) -> list[int]:
    """Return the numbers of layer1 to layer4 in `nn.Sequential(conv1, bn1, relu, [maxpool,] layer1, ..., layer4)`."""
    return sorted({int(place) for name in state if (place := name.partition(".")[0]).isdigit() and int(place) > 1})


def _from_sequence(state: State) -> dict[str, str]:
    layers = enumerate(_layer_places(state), start=1)
    parts = {"0": "conv1", "1": "bn1", **{str(place): f"layer{i}" for i, place in layers}}
    names = {}
    for name in state:
        place, _, rest = name.partition(".")
        names[name] = f"{parts[place]}.{rest}" if place in parts else name
    return names


def _resnet12(name: str) -> str:
    name = re.sub(r"^layer(\d)\.0\.", lambda found: f"stages.{int(found[1]) - 1}.", name)
    return name.replace(".downsample.", ".shortcut.")
