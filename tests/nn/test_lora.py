"""Low-rank adapters: which layers get them, that merging is exact, and that all other weights stay frozen."""

import copy

import pytest
import timm
import torch
from torch import nn

from coarsecon.errors import InputError
from coarsecon.nn import lora
from coarsecon.nn.lora import adaptable_layers, add_adapters, merged_state

pytest.importorskip("peft")

RANK = 4
NETWORKS = {
    "test_vit": 160, "test_efficientnet": 64, "test_resnet": 64, "test_convnext": 64, "test_byobnet": 64,
    "eva02_tiny_patch14_224": 224,
}  # fmt: skip
"""Networks with an image size in pixels that they take."""


def created(name: str) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0)


def adapted(name: str, rank: int = RANK) -> nn.Module:
    """A network whose adapters are no longer 0."""
    model = created(name)
    add_adapters(model, rank, NETWORKS[name])
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.05)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_merged_weights_compute_the_features_of_the_adapters(name):
    model = adapted(name).eval()
    plain = created(name).eval()
    images = torch.randn(2, 3, NETWORKS[name], NETWORKS[name])
    with torch.no_grad():
        before = plain(images)
        plain.load_state_dict(merged_state(model))
        features = model(images)
        torch.testing.assert_close(plain(images), features, rtol=1e-4, atol=1e-4 * float(features.abs().max()))
    assert (features - before).abs().max() > 1e-2 * before.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_new_adapters_change_nothing(name):
    model, plain = created(name), created(name)
    add_adapters(model, RANK, NETWORKS[name])
    state = merged_state(model)
    assert state.keys() == plain.state_dict().keys()
    for key, value in plain.state_dict().items():
        assert torch.equal(state[key], value), key


def test_only_adapters_are_trained_and_statistics_are_fixed():
    model = adapted("test_efficientnet").train()
    before = copy.deepcopy(model.state_dict())
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    optimizer = torch.optim.SGD(trained.values(), lr=1.0)
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(trained)


def test_transformers_adapt_attention_and_mlp_of_every_block():
    model = created("test_vit")
    inside = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    blocks = range(len(model.blocks))
    assert adaptable_layers(model, RANK, 160) == [f"blocks.{block}.{layer}" for block in blocks for layer in inside]


def test_convolutional_networks_adapt_dense_convolutions():
    model = created("test_efficientnet")
    names = adaptable_layers(model, RANK, 64)
    convolutions = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and name != "conv_stem"}
    assert set(names) == {name for name, m in convolutions.items() if m.groups == 1}
    assert set(names) < set(convolutions)
    wide = adaptable_layers(model, 24, 64)
    assert set(wide) < set(names)
    assert all(min(convolutions[name].in_channels, convolutions[name].out_channels) > 24 for name in wide)


def test_layers_whose_weights_are_used_without_a_call_get_no_adapter():
    model = timm.create_model("eva02_tiny_patch14_224", num_classes=0, qkv_fused=True)
    names = adaptable_layers(model, RANK, 224)
    assert "blocks.0.attn.qkv" not in names
    assert "blocks.0.attn.proj" in names


def test_a_rank_above_the_width_of_all_layers_is_refused():
    with pytest.raises(InputError, match=r"finetune\.lora_rank: 4096 is not below the width of any layer of ResNet"):
        add_adapters(created("test_resnet"), 4096, 64)


def test_a_missing_extra_is_one_clear_error(monkeypatch):
    monkeypatch.setattr("coarsecon.runtime.extras.import_module", _missing)
    with pytest.raises(InputError) as found:
        lora.load_peft()
    assert str(found.value) == (
        "finetune.train: needs peft, which is not installed; run `pip install 'coarsecon[lora]'`, or "
        "set finetune.train to last-blocks"
    )


def _missing(module: str) -> None:
    raise ImportError(name=module)
