"""The detectors: the encoder is in them whole, in both forms, and boxes stay exact in bfloat16."""

import pytest
import torch
from encoders import encoder_run
from torch import nn

from coarsecon.detection.backbone import channels, pyramid, resnet_of, stride_of, up_to_layer3
from coarsecon.detection.model import DetectorInput, build_detector
from coarsecon.detection.settings import ModelSettings, SizeSettings
from coarsecon.errors import InputError
from coarsecon.nn.encoder import load_encoder
from coarsecon.views.batch import ImageBatch
from coarsecon.views.filters import apply_filter

SIZES = SizeSettings(train=[64, 96], test=64)
IMAGE = torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(0))
TARGET = {
    "boxes": torch.tensor([[4.0, 6, 40, 50], [50, 10, 78, 60]]), "labels": torch.tensor([1, 3]),
    "masks": torch.ones(2, 64, 80, dtype=torch.uint8),
}  # fmt: skip


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(encoder_run(tmp_path / "run", "deep", stem="standard").encoder())


@pytest.mark.parametrize(
    ("family", "stride"),
    [
        ("deep", 4),
        ("resnet18 standard", 16),
        ("resnet18 small-pool", 8),
        pytest.param("resnet50 standard", 16, marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_the_two_parts_of_c4_give_the_encoders_features(tmp_path, family, stride):
    encoder = load_encoder(encoder_run(tmp_path / "run", family).encoder())
    images = torch.randint(0, 256, (2, 3, encoder.card.input.size, encoder.card.input.size)).byte()
    wanted = encoder.features(ImageBatch.full(images))
    backbone = resnet_of(encoder, frozen=False)
    trunk, layer4 = up_to_layer3(backbone).eval(), backbone.layer4
    found = layer4(trunk(encoder.inputs(ImageBatch.full(images)))["0"])
    assert (found.mean((2, 3)) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert trunk.out_channels == channels(backbone)[2]
    assert stride_of(trunk) == stride


@torch.no_grad()
def test_the_pyramid_stands_on_the_encoders_layers_and_frozen_norms_give_the_same(encoder):
    images = torch.rand(2, 3, 64, 64)
    wanted = encoder.backbone.forward_features(images)
    model = pyramid(resnet_of(encoder, frozen=True), batch_norm=False).train()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert (model.body(images)["3"] - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert [tuple(level.shape[1:]) for level in model(images).values()] == [
        (256, 16, 16), (256, 8, 8), (256, 4, 4), (256, 2, 2), (256, 1, 1),
    ]  # fmt: skip


def test_a_backbone_that_is_no_resnet_is_refused(tmp_path):
    encoder = load_encoder(encoder_run(tmp_path / "run", "resnet12").encoder())
    with pytest.raises(InputError, match=r"backbone resnet12: .*resnet50"):
        build_detector(encoder, ModelSettings(), SIZES, 2)


def small(**settings):
    sizes = {"c4": [16.0, 32.0], "fpn": [8.0, 16.0, 24.0, 32.0, 48.0]}[settings.get("head", "c4")]
    return ModelSettings(anchors=sizes, regions=16, proposals=20, **settings)


@pytest.mark.parametrize(
    ("head", "masks", "precision"),
    [
        ("c4", False, torch.float32),
        ("c4", True, torch.float32),
        ("c4", True, torch.bfloat16),
        ("fpn", True, torch.float32),
        pytest.param("fpn", False, torch.float32, marks=pytest.mark.slow),
        pytest.param("fpn", True, torch.bfloat16, marks=pytest.mark.slow),
    ],
)
def test_every_part_learns_and_detections_are_of_the_images_size(encoder, head, masks, precision):
    torch.manual_seed(0)
    model = build_detector(encoder, small(head=head, masks=masks), SIZES, 3).train()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        losses = model([IMAGE, IMAGE.flip(2)], [TARGET, TARGET])
    assert ("loss_mask" in losses) == masks
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    sum(losses.values()).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    model.roi_heads.score_thresh = 0.0
    with torch.no_grad():
        [found] = model.eval()([IMAGE])
    assert 0 < len(found["boxes"]) <= 100
    assert found["boxes"].dtype == torch.float32
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"] <= torch.tensor([80.0, 64, 80, 64])).all()
    assert set(found["labels"].tolist()) <= {1, 2, 3}
    if masks:
        assert found["masks"].shape == (len(found["boxes"]), 1, 64, 80)


def test_c4_has_a_norm_behind_layer4_where_norms_are_tuned_and_none_where_they_are_frozen(encoder, tmp_path):
    tuned = build_detector(encoder, small(), SIZES, 3)
    assert isinstance(tuned.roi_heads.box_head[-1], nn.BatchNorm2d)
    other = load_encoder(encoder_run(tmp_path / "other", "deep", stem="standard").encoder())
    frozen = build_detector(other, small(batch_norm="frozen"), SIZES, 3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())


def test_anchors_that_do_not_fit_the_pyramid_are_refused(encoder):
    with pytest.raises(InputError, match=r"model\.anchors.*5 levels"):
        build_detector(encoder, ModelSettings(head="fpn", anchors=[8.0]), SIZES, 3)


def test_the_input_is_resized_normalised_and_filtered_as_the_encoders():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
    plain, filtered = (
        DetectorInput([64, 96], 128, 150, mean=mean, std=std, filter=name) for name in ("none", "high-pass")
    )
    images, _ = plain.eval()([IMAGE])
    assert images.image_sizes == [(120, 150)]  # the longer side decides
    passed, _ = filtered.eval()([IMAGE])
    wanted = apply_filter("high-pass", images.tensors[:, :, :120, :150])
    assert torch.equal(passed.tensors[:, :, :120, :150], wanted)
    torch.manual_seed(0)
    sizes = {plain.train()([IMAGE])[0].image_sizes[0][0] for _ in range(20)}
    assert sizes == {64, 96}
