"""A state dict with torchvision's names, for its ResNets; loaded into one and compared before it is put in place."""

from pathlib import Path

import torchvision
from safetensors.torch import save_file
from timm.models import split_model_name_tag
from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.exporters.subject import Subject

TOLERANCE = 1e-6
DEPTHS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}
SMALL = "model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)"


def write(subject: Subject, folder: Path) -> list[str]:
    """`resnet.safetensors` without classifier. Returns how to load it.

    Raises:
        InputError: the backbone is no ResNet of torchvision's.
    """
    depth, stem = resnet_depth(subject, "torchvision"), subject.card.backbone.stem
    save_file(subject.state(), folder / "resnet.safetensors")
    subject.write_card(folder)
    model = getattr(torchvision.models, f"resnet{depth}")()
    lines = [f"model = torchvision.models.resnet{depth}(); model.fc = torch.nn.Identity()"]
    model.fc = nn.Identity()
    if stem != "standard":
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        lines.append(SMALL)
    if stem == "small":
        model.maxpool = nn.Identity()
        lines.append("model.maxpool = torch.nn.Identity()")
    model.load_state_dict(subject.state())
    model.eval()

    def features(images: Tensor) -> Tensor:
        found: Tensor = model(subject.inputs(images))
        return found

    equal = subject.compare("torchvision's ResNet", features, TOLERANCE)
    lines.append("model.load_state_dict(safetensors.torch.load_file('resnet.safetensors'))")
    return [*lines, f"gives {equal}, of images as encoder.json describes them"]


def resnet_depth(subject: Subject, whose: str) -> int:
    """18, 34, 50, 101 or 152.

    Raises:
        InputError: the backbone is another network, or one with arguments that change it.
    """
    name, args = split_model_name_tag(subject.card.backbone.name)[0], subject.card.backbone.args
    if name not in DEPTHS or args:
        what = f"{name} with {', '.join(args)}" if args else name
        raise InputError(
            f"--format {whose} is for {', '.join(DEPTHS)}; this run's backbone is {what}: use timm or onnx"
        )
    return DEPTHS[name]
