"""Backbones: small stems, feature widths, and what a network takes no images of."""

import pytest
import timm
import torch
from torch import nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.backbone import check_image_size, create_backbone, embed, feature_dim, resolve_stem


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
     ("vit_small_patch14_dinov2", "standard"), ("swin_tiny_patch4_window7_224", "standard"),
     ("naflexvit_base_patch16_gap", "standard"), ("mixer_s32_224", "standard"), ("levit_128s", "standard"),
     ("coatnet_pico_rw_224", "standard"), ("efficientformer_l1", "standard")],
)  # fmt: skip
def test_the_stem_for_small_images_is_that_of_a_convnet_of_any_side(name, stem):
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
    with pytest.raises(CoarseconError, match=r"backbone\.pretrained: .* cannot be downloaded .*set backbone\.weights"):
        create_backbone(BackboneSettings(pretrained=True), 32)


def test_a_side_that_the_network_does_not_take_is_told():
    tiny = {"embed_dim": 16, "num_heads": 1, "stages": [1, 1, 1, 1]}
    model = create_backbone(BackboneSettings(name="hiera_tiny_224", args=tiny), 40)
    with pytest.raises(InputError, match=r"hiera_tiny_224 takes no images of 40 px .*data\.size.* are for 224 px"):
        check_image_size(model, 40)
    assert model.training
    check_image_size(create_backbone(BackboneSettings(name="hiera_tiny_224", args=tiny), 64), 64)
    with pytest.raises(InputError, match=r"twins_svt_small cannot be built for images of 112 px .*multiple of 32"):
        create_backbone(BackboneSettings(name="twins_svt_small"), 112)


def test_features_that_are_not_pooled_are_told():
    model = create_backbone(BackboneSettings(name="test_resnet", args={"global_pool": ""}), 32)
    with pytest.raises(InputError, match=r"returns \[1, 96, 4, 4\] for an image instead of \[1, 96\]; .*pools"):
        check_image_size(model, 32)


@pytest.mark.parametrize(("side", "hint"), [(100, "96 or 112"), (226, "224 or 240"), (9, "16")])
def test_an_image_that_patches_do_not_divide_is_refused_with_the_nearest_sizes(side, hint):
    model = timm.create_model("vit_tiny_patch16_224", img_size=max(side, 16), depth=1, num_classes=0)
    with pytest.raises(InputError, match=f"data.size: {side} px is not divisible .*; set data.size to {hint}$"):
        check_image_size(model, side)
    padded = {"dynamic_img_size": True, "dynamic_img_pad": True}
    check_image_size(timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=0, **padded), 100)


def test_images_that_are_not_square_are_refused():
    settings = BackboneSettings(name="vit_tiny_patch16_224", args={"depth": 1, "img_size": [224, 160]})
    with pytest.raises(InputError, match=r"backbone\.args: img_size 224 x 160 is not square.*; remove img_size"):
        create_backbone(settings, 224)


def test_weights_that_timm_does_not_have_are_named():
    with pytest.raises(InputError, match=r"no weights 'imaginary' of resnet18; its weights are called a1_in1k"):
        create_backbone(BackboneSettings(name="resnet18.imaginary"), 32)
    with pytest.raises(InputError, match="no weights 'imaginary'"):
        resolve_stem(BackboneSettings(name="resnet18.imaginary"), 32)
