"""Poolings of transformers equal direct computations from timm's tokens, and survive saving and exporting."""

import copy

import pytest
import timm
import torch

from coarsecon.config import BackboneSettings
from coarsecon.errors import InputError
from coarsecon.nn.backbone import check_image_size, create_backbone, feature_dim
from coarsecon.nn.encoder import EncoderCard, InputTransform, load_encoder, save_encoder
from coarsecon.nn.pooling import pooling_arguments, possible_poolings

NAMES = ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"]
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def backbone(name: str, pooling: str | None) -> torch.nn.Module:
    torch.manual_seed(0)
    return create_backbone(BackboneSettings(name=name, pooling=pooling, args={"depth": 2}), 64).eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pooling", ["cls", "mean", "both"])
def test_poolings_are_those_of_the_tokens(name, pooling):
    model = backbone(name, pooling)
    check_image_size(model, 64)
    tokens = model.forward_features(IMAGES)
    parts = {"cls": tokens[:, 0], "mean": tokens[:, model.num_prefix_tokens :].mean(1)}
    expected = torch.cat(list(parts.values()), 1) if pooling == "both" else parts[pooling]
    assert torch.allclose(model(IMAGES), expected, atol=1e-6)
    assert torch.equal(copy.deepcopy(model)(IMAGES), model(IMAGES))
    assert feature_dim(model) == expected.shape[1]


@pytest.mark.parametrize("name", NAMES)
def test_timm_builds_the_same_network_from_the_arguments(name):
    for pooling in ("cls", "mean"):
        model = backbone(name, pooling)
        arguments = {"img_size": 64, "depth": 2, **pooling_arguments(model, pooling)}
        plain = timm.create_model(name, num_classes=0, **arguments).eval()
        plain.load_state_dict(model.state_dict())
        assert torch.equal(plain(IMAGES), model(IMAGES))
    assert pooling_arguments(backbone(name, None), None) == {}
    with pytest.raises(InputError, match="export as ONNX"):
        pooling_arguments(backbone(name, "both"), "both")


def test_the_pooling_is_saved_with_the_encoder(tmp_path):
    settings = BackboneSettings(name=NAMES[0], pooling="both", args={"depth": 1})
    model = create_backbone(settings, 64).eval()
    card = EncoderCard(backbone=settings, input=InputTransform(size=64, mean=(0.5,) * 3, std=(0.5,) * 3))
    save_encoder(model, card, tmp_path / "encoder.safetensors")
    loaded = load_encoder(tmp_path / "encoder.safetensors")
    assert loaded.dim == 384
    assert torch.equal(loaded.backbone(IMAGES), model(IMAGES))


@pytest.mark.parametrize(
    ("name", "possible"),
    [("resnet18", []), ("deit_tiny_distilled_patch16_224", []), ("vit_tiny_patch16_224", ["cls", "mean", "both"])],
)
def test_only_networks_with_tokens_have_a_choice(name, possible):
    assert possible_poolings(timm.create_model(name, num_classes=0)) == possible
    if not possible:
        with pytest.raises(InputError, match="no tokens to pool; leave it out"):
            create_backbone(BackboneSettings(name=name, pooling="mean"), 224)


def test_attention_pooling_without_class_token_can_become_a_mean():
    model = timm.create_model("vit_base_patch16_siglip_224", num_classes=0, depth=1)
    assert possible_poolings(model) == ["mean"]
    with pytest.raises(InputError, match="has no class token; choose mean, or leave it out"):
        create_backbone(BackboneSettings(name="vit_base_patch16_siglip_224", pooling="cls", args={"depth": 1}), 64)
