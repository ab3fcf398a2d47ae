"""Optimisers: the papers' SGD, and AdamW, which resumes bit for bit too and refuses the rates of SGD."""

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from tiny import tiny_settings
from torch import nn

from coarsecon.config import OptimizerSettings
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.optimizer import build_optimizer
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05}
LARS = {"name": "lars", "lr": 0.3, "weight_decay": 1e-3}
CPU = torch.device("cpu")


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].requires_grad_(False)
    return model


def stepped(settings: OptimizerSettings, gradient: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(before, after) of every parameter, whose gradients were all `gradient`."""
    model = network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = build_optimizer(model, settings, CPU)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return list(zip(before, (parameter.detach() for parameter in model.parameters()), strict=True))


def test_sgd_decays_everything_that_is_trained():
    (weight, bias, scale, shift, *frozen) = stepped(OptimizerSettings(lr=0.1, weight_decay=0.5), 0.0)
    for before, after in (weight, bias, scale, shift):
        assert torch.allclose(after, before * (1 - 0.1 * 0.5))
    assert all(torch.equal(before, after) for before, after in frozen)


def test_adamw_decays_matrices_alone_and_moves_by_the_rate():
    (weight, bias, scale, shift, *frozen) = stepped(OptimizerSettings(name="adamw", lr=0.01, weight_decay=0.5), 7.0)
    assert torch.allclose(weight[1], weight[0] * (1 - 0.01 * 0.5) - 0.01, atol=1e-6)
    for before, after in (bias, scale, shift):
        assert torch.allclose(after, before - 0.01, atol=1e-6)
    assert all(torch.equal(before, after) for before, after in frozen)


def test_lars_scales_each_matrix_by_its_trust_ratio_and_spares_vectors():
    """You et al., 2017, eq. 6, with a coefficient of 0.001."""
    settings = OptimizerSettings(name="lars", lr=0.5, momentum=0.9, weight_decay=0.1)
    (weight, bias, scale, shift, *frozen) = stepped(settings, 7.0)
    before, after = weight
    gradient = torch.full_like(before, 7.0)
    trust = 0.001 * before.norm() / (gradient.norm() + 0.1 * before.norm())
    assert torch.allclose(after, before - 0.5 * trust * (gradient + 0.1 * before), atol=1e-7)
    for before, after in (bias, scale, shift):
        assert torch.allclose(after, before - 0.5 * 7.0)
    assert all(torch.equal(before, after) for before, after in frozen)


def test_momentum_is_the_first_beta_of_adamw():
    optimizer = build_optimizer(network(), OptimizerSettings(name="adamw", lr=1e-3, momentum=0.8), CPU)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.999)}


def test_a_rate_for_sgd_is_refused_before_anything_is_written(tiny_data):
    with pytest.raises(
        InputError, match=r"optimizer\.lr: 0\.02 is a learning rate for SGD; .*set optimizer\.lr to 5e-4"
    ):
        build_run_spec(tiny_settings(tiny_data) | {"optimizer": {"name": "adamw"}})


@pytest.mark.parametrize("optimizer", [ADAMW, LARS], ids=lambda each: each["name"])
def test_a_run_follows_the_schedule_and_resumes_bit_for_bit(optimizer, tiny_data, tmp_path):
    settings = tiny_settings(tiny_data) | {"optimizer": optimizer}
    straight = pretrain(build_run_spec(settings), tmp_path / "straight")
    half = {**settings, "schedule": {**settings["schedule"], "epochs": 1}}
    pretrain(build_run_spec(half), tmp_path / "halves")
    resumed = pretrain(build_run_spec(settings), tmp_path / "halves", resume=True)
    states = [load_checkpoint(RunFolder(run.root).checkpoint("last")) for run in (straight, resumed)]
    for name, value in states[0]["method"].items():
        assert torch.equal(value, states[1]["method"][name]), name
    rates = [row["lr"] for row in straight.metrics() if "lr" in row]
    assert max(rates) <= optimizer["lr"]
    assert rates[-1] < rates[0]


class Headed(nn.Module):
    """A backbone with a head, as methods are."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.encoder = timm.create_model(name, num_classes=0)
        self.projector = nn.Linear(self.encoder.num_features, 8)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("optimizer", [{"lr": 0.1}, LARS, ADAMW], ids=["sgd", "lars", "adamw"])
def test_layer_decay_has_the_factors_of_timm_and_spares_the_heads(name, optimizer):
    model, settings = Headed(name), OptimizerSettings(**optimizer)
    built = build_optimizer(model, settings, CPU, layer_decay=0.5)
    scales = {p: (group["lr_scale"], group["weight_decay"]) for group in built.param_groups for p in group["params"]}
    assert len(scales) == len(list(model.parameters()))
    for group in param_groups_layer_decay(model.encoder, settings.weight_decay, layer_decay=0.5):
        for parameter in group["params"]:
            spared = parameter.ndim < 2 and settings.name != "sgd"
            assert scales[parameter] == (group["lr_scale"], 0.0 if spared else settings.weight_decay)
    assert {scales[parameter][0] for parameter in model.projector.parameters()} == {1.0}
    blocks = {
        "resnet18": ("conv1", "layer4.1.conv1"),
        "vit_tiny_patch16_224": ("patch_embed.proj", "blocks.11.mlp.fc1"),
    }
    first, last = (model.encoder.get_submodule(block).weight for block in blocks[name])
    depth = {"resnet18": 8, "vit_tiny_patch16_224": 12}[name]
    assert (scales[first][0], scales[last][0]) == (0.5**depth, 1.0)


def test_without_layer_decay_there_are_no_more_groups():
    assert len(build_optimizer(Headed("resnet18"), OptimizerSettings(), CPU).param_groups) == 1
