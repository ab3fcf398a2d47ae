"""Backbones: small stems, feature widths, and weights that are loaded safely or refused clearly."""

import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.backbone import create_backbone, embed, feature_dim, resolve_stem


@pytest.mark.parametrize(
    ("name", "side"),
    [("resnet18", 32), ("resnet10t", 32), ("mobilenetv3_small_050", 32), ("convnext_atto", 32), ("resnet18", 96)],
)
def test_features_have_the_stated_width_and_unit_length(name, side):
    model = create_backbone(BackboneSettings(name=name), side).eval()
    features = embed(model, torch.randn(2, 3, side, side))
    assert features.shape == (2, feature_dim(model))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))


def test_small_sides_get_a_3x3_stem_without_max_pool():
    model = create_backbone(BackboneSettings(name="resnet18"), 32)
    assert model.conv1.kernel_size == (3, 3)
    assert model.conv1.stride == (1, 1)
    assert isinstance(model.maxpool, nn.Identity)
    assert model.forward_features(torch.randn(1, 3, 32, 32)).shape[-1] == 4


def test_a_small_stem_may_keep_its_max_pool():
    model = create_backbone(BackboneSettings(name="resnet18", stem="small-pool"), 64)
    assert model.conv1.stride == (1, 1)
    assert isinstance(model.maxpool, nn.MaxPool2d)
    assert model.forward_features(torch.randn(1, 3, 64, 64)).shape[-1] == 4


def test_large_sides_and_the_standard_stem_keep_the_model_as_timm_has_it():
    for settings, side in ((BackboneSettings(), 224), (BackboneSettings(stem="standard"), 32)):
        assert create_backbone(settings, side).conv1.kernel_size == (7, 7)


def test_a_transformer_follows_the_side_and_refuses_a_small_stem():
    tiny = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    model = create_backbone(BackboneSettings(name="vit_tiny_patch16_224", args=tiny), 32)
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 16)
    with pytest.raises(InputError, match="no convolutional stem"):
        create_backbone(BackboneSettings(name="vit_tiny_patch16_224", stem="small", args=tiny), 32)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("resnet18", "small"), ("resnet12", "small"), ("convnext_tiny", "small"), ("efficientnet_b0", "small"),
     ("vit_small_patch14_dinov2", "standard"), ("swin_tiny_patch4_window7_224", "standard")],
)  # fmt: skip
def test_the_stem_for_small_images_is_that_of_a_convnet(name, stem):
    settings = BackboneSettings(name=name)
    assert resolve_stem(settings, 32).stem == stem
    assert resolve_stem(settings, 224).stem == "standard"
    assert resolve_stem(settings.model_copy(update={"stem": "small-pool"}), 224).stem == "small-pool"


def test_an_unknown_model_or_argument_is_told():
    with pytest.raises(InputError, match="no model called 'resnet_18'"):
        create_backbone(BackboneSettings(name="resnet_18"), 32)
    with pytest.raises(InputError, match=r"backbone\.args"):
        create_backbone(BackboneSettings(args={"nonsense": 1}), 32)


def test_pretrained_weights_out_of_reach_are_one_clear_error(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(CoarseconError, match="--init-from"):
        create_backbone(BackboneSettings(pretrained=True), 32)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file_are_loaded_but_for_another_stem(tmp_path, suffix):
    donor = timm.create_model("resnet18", num_classes=7)
    path = tmp_path / f"donor{suffix}"
    save_file(donor.state_dict(), path) if suffix == ".safetensors" else torch.save(donor.state_dict(), path)
    model = create_backbone(BackboneSettings(weights=path), 32)
    assert torch.equal(model.layer4[1].conv2.weight, donor.layer4[1].conv2.weight)
    standard = create_backbone(BackboneSettings(weights=path, stem="standard"), 32)
    assert torch.equal(standard.conv1.weight, donor.conv1.weight)


def test_a_transformers_weights_fit_images_of_another_side(tmp_path):
    tiny = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    donor = timm.create_model("vit_tiny_patch16_224", img_size=64, **tiny)
    with torch.no_grad():  # a slope from left to right, which stays one on another grid
        donor.pos_embed[:, 1:] = torch.linspace(-1, 1, 8).repeat(8)[None, :, None]
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    settings = BackboneSettings(name="vit_tiny_patch16_224", args=tiny, weights=tmp_path / "donor.safetensors")
    model = create_backbone(settings, 32)
    assert torch.equal(model.blocks[0].attn.qkv.weight, donor.blocks[0].attn.qkv.weight)
    rows = model.pos_embed[0, 1:].unflatten(0, (4, 4))
    assert torch.allclose(rows[..., 0], torch.linspace(-1, 1, 4).expand(4, 4), atol=0.2)
    assert (rows.diff(dim=1) > 0).all()


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    with pytest.raises(InputError, match="does not fit the backbone"):
        create_backbone(BackboneSettings(weights=path), 32)


class Hostile:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": Hostile()}, path)
    with pytest.raises(InputError, match="can be loaded safely"):
        create_backbone(BackboneSettings(weights=path), 32)
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(InputError, match="can be loaded safely"):
        create_backbone(BackboneSettings(weights=path), 32)
    assert "unpickled" not in capsys.readouterr().out
