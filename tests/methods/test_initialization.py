"""Initial weights of the papers' recipes, layer by layer, against the definitions of the published codes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from coarsecon import recipes, registry
from coarsecon.config import BackboneSettings, RunConfig, validate
from coarsecon.methods import Method, Setup
from coarsecon.nn.backbone import create_backbone, feature_dim

CLASSES = 20


def method_of(name: str, side: int) -> Method:
    """The untrained method of a recipe, with a short queue."""
    config = validate(RunConfig, recipes.read(name))
    method_class = registry.load(registry.METHODS, config.method["name"])
    own = {key: value for key, value in config.method.items() if key != "name"}
    if "queue_size" in method_class.Config.model_fields:
        own["queue_size"] = 8
    if own.get("saliency"):
        own |= {"saliency": "momentum"}
    settings = method_class.resolve(validate(method_class.Config, own), image_size=side, images=1000, classes=CLASSES)
    torch.manual_seed(0)
    encoder = create_backbone(config.backbone, side)
    setup = Setup(encoder, feature_dim(encoder), CLASSES, side, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    method: Method = method_class(settings, setup)
    return method


def torchvision_network(make: Callable[..., nn.Module], stem: str) -> dict[str, Tensor]:
    """Weights as the published codes draw them; the stem: `usual`, `replaced` by a new 3x3 layer, or `supcontrast`."""
    torch.manual_seed(1)
    network: Any = make(weights=None)
    if stem != "usual":
        network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    if stem == "supcontrast":
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return {name: value for name, value in network.named_parameters() if not name.startswith("fc.")}


def assert_same_distribution(name: str, drawn: Tensor, expected: Tensor) -> None:
    """Constants are equal; random weights agree in mean, standard deviation, and the shape of their distribution."""
    assert drawn.shape == expected.shape, name
    if expected.unique().numel() == 1:
        assert torch.equal(drawn, expected), name
        return
    std = expected.std().item()
    error = std / math.sqrt(drawn.numel())
    assert abs(drawn.mean().item() - expected.mean().item()) < 8 * error, name
    assert abs(drawn.std().item() - std) < 6 * error, name
    # Uniform weights have a sharp bound, normal ones do not: their mean absolute value is 0.866 or 0.798 deviations.
    assert abs(drawn.abs().mean().item() - expected.abs().mean().item()) < 6 * error, name


@pytest.mark.parametrize(
    ("recipe", "side", "make", "stem"),
    [
        ("maskcon-cifar100", 32, resnet18, "replaced"),
        ("maskcon-sop", 224, resnet18, "usual"),
        ("ascl-cifar100", 32, resnet18, "replaced"),
        ("supcon-cifar10", 32, resnet50, "supcontrast"),
        ("ancor-living17", 224, resnet50, "usual"),
        ("salmask-imagenet100-moco-hp", 224, resnet50, "usual"),
    ],
)
def test_backbones_start_as_in_the_published_codes(recipe, side, make, stem):
    config = validate(RunConfig, recipes.read(recipe))
    torch.manual_seed(0)
    drawn = dict(create_backbone(config.backbone, side).named_parameters())
    expected = torchvision_network(make, stem)
    assert list(drawn) == list(expected)
    for name, value in expected.items():
        assert_same_distribution(name, drawn[name], value)


def test_resnet12_starts_as_in_ancors_code():
    torch.manual_seed(0)
    for name, value in create_backbone(BackboneSettings(name="resnet12"), 32).named_parameters():
        if value.ndim == 4:
            expected = torch.randn_like(value) * math.sqrt(2 / (value.shape[0] * value.shape[2] * value.shape[3]))
            assert_same_distribution(name, value, expected)
        else:
            assert torch.equal(value, torch.full_like(value, float(name.endswith("weight")))), name


@pytest.mark.parametrize(
    "recipe",
    ["maskcon-cifar100", "coins-cifar100", "ascl-cifar100-byol", "supcon-cifar10", "supce-cifar10", "ancor-cifar100",
     "ancor-living17-multi-fork", "salmask-imagenet100-moco-mean"],
)  # fmt: skip
def test_heads_start_with_pytorchs_defaults_and_key_encoders_as_copies(recipe):
    method = method_of(recipe, 64)
    linear = [
        (name, layer)
        for name, layer in method.named_modules()
        if isinstance(layer, nn.Linear) and not name.startswith("twin.")
    ]
    assert linear
    for name, layer in linear:
        torch.manual_seed(1)
        fresh = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        for kind, value in layer.named_parameters():
            assert_same_distribution(f"{name}.{kind}", value, getattr(fresh, kind))
            assert value.abs().max() <= 1 / math.sqrt(layer.in_features), name
    for layer in method.modules():
        if isinstance(layer, nn.BatchNorm1d):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
    if hasattr(method, "twin"):
        copies = dict(zip(("encoder", "projector"), method.twin.copies, strict=True))
        for name, copy in copies.items():
            for ours, source in zip(copy.parameters(), getattr(method, name).parameters(), strict=True):
                assert torch.equal(ours, source), name


def test_without_a_recipe_residual_branches_start_as_timm_draws_them():
    def zero_scales(**settings: Any) -> int:
        network = create_backbone(BackboneSettings(name="resnet18", **settings), 32)
        return sum(not value.any() for name, value in network.named_parameters() if name.endswith("bn2.weight"))

    assert zero_scales() == zero_scales(init="timm") == 8
    assert zero_scales(init="torchvision") == zero_scales(init="maskcon") == 0
    assert zero_scales(args={"zero_init_last": False}) == 0
    assert zero_scales(init="torchvision", args={"zero_init_last": True}) == 8


def test_every_paper_recipe_on_a_torchvision_resnet_names_its_initialization():
    for name in recipes.names():
        backbone = recipes.read(name)["backbone"]
        if backbone["name"] in ("resnet18", "resnet50") and not name.endswith("-toy"):
            family = name.split("-")[0]
            of_maskcon = family in ("maskcon", "coins") or name in ("grafit-cifar100", "moco-cifar100")
            of_ascl = family == "ascl" and name != "ascl-imagenet1k"
            assert backbone["init"] == ("maskcon" if of_maskcon or of_ascl else "torchvision"), name
