"""Stand-ins for published checkpoints, in exactly the forms that the published codes save them in."""

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from encoders import randomise
from torch import Tensor, nn

Made = tuple[dict[str, Any], Callable[[Tensor], Tensor]]
"""What is saved, and the features [N, D] of normalised images that it stands for."""

OPTIONS = argparse.Namespace(lr=0.5, arch="resnet18", devices=[0, 1], nested=argparse.Namespace(seed=1))


def resnet(name: str = "resnet18", *, small: bool = False, keep_pool: bool = False, classes: int = 0) -> nn.Module:
    model = getattr(torchvision.models, name)()
    if small:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        if not keep_pool:
            model.maxpool = nn.Identity()
    width = model.fc.in_features
    model.fc = nn.Linear(width, classes) if classes else nn.Identity()
    return randomise(model).eval()


def features_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Before the last layer."""
    bare = nn.Sequential(*[part for name, part in model.named_children() if name != "fc"], nn.Flatten())
    return bare.eval()


def below(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


def head(width: int, hidden: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, dim))


def maskcon(**network: Any) -> Made:
    net, projector, classifier = resnet(**network), head(512, 512, 256), nn.Linear(512, 4)
    state = {
        **below("encoder_q.net.", net), **below("encoder_q.projector.", projector),
        **below("encoder_q.classifer.", classifier),  # so it is spelt
        **below("encoder_k.net.", resnet(**network)),
        "queue": torch.zeros(256, 8), "coarse_labels": torch.zeros(8), "queue_ptr": torch.zeros(1),
    }  # fmt: skip
    return state, net


def ascl(*, keep_pool: bool = False) -> Made:
    net = resnet(small=True)
    parts = [net.conv1, net.bn1, net.relu, *[nn.MaxPool2d(3, 2, 1)] * keep_pool]
    parts += [net.layer1, net.layer2, net.layer3, net.layer4, net.avgpool, nn.Flatten(1)]
    sequence = nn.Sequential(*parts).eval()
    state = {**below("encoder_q.net.", sequence), **below("encoder_q.projector.", head(512, 2048, 128))}
    return {"state_dict": state, "epoch": 200}, sequence


def supcon() -> Made:
    net = resnet(small=True)
    renamed = {name.replace(".downsample.", ".shortcut."): value for name, value in net.state_dict().items()}
    state = {f"encoder.module.{name}": value for name, value in renamed.items()}
    state |= below("head.", head(512, 512, 128))
    return {"opt": OPTIONS, "model": state, "optimizer": {"state": {}, "param_groups": []}, "epoch": 1000}, net


def moco(**network: Any) -> Made:
    net = resnet(**network)
    state = {
        **below("module.encoder_q.", net), **below("module.encoder_q.fc.", head(512, 512, 128)),
        **below("module.encoder_k.", net), "module.queue": torch.zeros(128, 8), "module.queue_ptr": torch.zeros(1),
    }  # fmt: skip
    return {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {}}, net


class FewShotBlock(nn.Module):
    """ResNet-12's block, under the names of the published code."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for i, width in enumerate((inputs, outputs, outputs), start=1):
            self.add_module(f"conv{i}", nn.Conv2d(width, outputs, 3, padding=1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        relu = nn.functional.leaky_relu
        inner = relu(self.bn1(self.conv1(x)), 0.1)
        inner = relu(self.bn2(self.conv2(inner)), 0.1)
        return nn.functional.max_pool2d(relu(self.bn3(self.conv3(inner)) + self.downsample(x), 0.1), 2)


class ResNet12(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for i, (inputs, outputs) in enumerate([(3, 64), (64, 160), (160, 320), (320, 640)], start=1):
            self.add_module(f"layer{i}", nn.Sequential(FewShotBlock(inputs, outputs)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


def ancor(*, mlp: bool = True, fork: bool = False) -> Made:
    net = randomise(ResNet12()).eval()
    fc = nn.Module()
    fc.fc1, fc.fc2 = nn.Linear(640, 128), nn.Linear(640 if fork else 128, 4)
    heads = nn.Sequential(nn.Linear(640, 640), nn.ReLU(), fc) if mlp else fc
    state = {**below("module.encoder_q.", net), **below("module.encoder_q.fc.", heads)}
    state |= {"module.queue": torch.zeros(4, 8, 128)}
    return {"epoch": 200, "arch": "resnet12", "state_dict": state}, net


def swav() -> Made:
    net = resnet()
    projection = nn.Sequential(nn.Linear(512, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
    state = {**below("module.", net), **below("module.projection_head.", projection)}
    return {**state, "module.prototypes.weight": torch.zeros(30, 16)}, net


def supervised() -> Made:
    net = resnet(classes=10)
    return dict(net.state_dict()), features_of(net)


STAND_INS: dict[str, tuple[str, Callable[[], Made], dict[str, Any]]] = {
    "maskcon, small": ("maskcon", lambda: maskcon(small=True), {}),
    "maskcon, standard": ("maskcon", maskcon, {}),
    "ascl": ("ascl", ascl, {}),
    "ascl with its pool": ("ascl", lambda: ascl(keep_pool=True), {}),
    "supcon": ("supcon", supcon, {}),
    "moco": ("moco", moco, {}),
    "salmask": ("salmask", moco, {"filter": "high-pass", "size": 64}),
    "ancor": ("ancor", ancor, {}),
    "ancor without mlp": ("ancor", lambda: ancor(mlp=False), {}),
    "ancor with fork head": ("ancor", lambda: ancor(fork=True), {}),
    "swav": ("swav", swav, {}),
    "timm": ("timm", supervised, {}),
    "torchvision": ("torchvision", supervised, {}),
}
"""The form to import as, the maker, and what the user has to say."""
