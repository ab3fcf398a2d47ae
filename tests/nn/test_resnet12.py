"""ResNet-12: registered with timm, the published size, DropBlock, and usable wherever a backbone is."""

import copy
import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from coarsecon.config import BackboneSettings
from coarsecon.nn.backbone import create_backbone, feature_dim
from coarsecon.nn.encoder import EncoderCard, InputRecipe, load_encoder, save_encoder


@pytest.mark.parametrize("side", [32, 84])
def test_features_are_640_wide_and_a_sixteenth_of_the_side(side):
    model = create_backbone(BackboneSettings(name="resnet12"), side).eval()
    images = torch.randn(2, 3, side, side)
    assert feature_dim(model) == 640
    assert model(images).shape == (2, 640)
    assert model.forward_features(images).shape == (2, 640, side // 16, side // 16)
    assert sum(parameter.numel() for parameter in model.parameters()) == 12_424_320


def test_it_behaves_like_a_timm_model():
    model = timm.create_model("resnet12", num_classes=7, in_chans=1, drop_rate=0.1).eval()
    images = torch.randn(2, 1, 32, 32)
    assert model(images).shape == (2, 7)
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    torch.testing.assert_close(model.get_classifier()(features), model(images))
    model.reset_classifier(0)
    assert model(images).shape == (2, 640)
    assert [info["reduction"] for info in model.feature_info] == [2, 4, 8, 16]


def test_blocks_are_dropped_in_training_alone_and_by_the_global_seed():
    model = create_backbone(BackboneSettings(name="resnet12", args={"drop_rate": 0.1}), 84)
    last = model.stages[3].drop
    ones = torch.ones(64, 8, 10, 10)
    dropped = last.train()(ones)
    assert 0.05 < (dropped == 0).float().mean() < 0.25
    assert torch.equal(last.eval()(ones), ones)
    images = torch.randn(2, 3, 84, 84)
    again = copy.deepcopy(model)
    outputs = []
    for each in (model, again):
        torch.manual_seed(3)
        outputs.append(each.train()(images))
    assert torch.equal(*outputs)


def test_the_first_two_stages_drop_single_cells_and_the_last_two_blocks():
    model = create_backbone(BackboneSettings(name="resnet12", args={"drop_rate": 0.1, "dropblock_size": 2}), 32)
    assert [type(stage.drop).__name__ for stage in model.stages] == ["Dropout", "Dropout", "DropBlock2d", "DropBlock2d"]
    assert model.stages[3].drop.block_size == 2


def test_its_stem_is_small_already():
    torch.manual_seed(0)
    small = create_backbone(BackboneSettings(name="resnet12", stem="small"), 32)
    torch.manual_seed(0)
    assert torch.equal(
        small.stages[0].conv1.weight, timm.create_model("resnet12", num_classes=0).stages[0].conv1.weight
    )
    assert isinstance(small.stages[0].pool, nn.MaxPool2d)


def test_it_saves_loads_and_starts_from_a_file(tmp_path):
    card = EncoderCard(
        backbone=BackboneSettings(name="resnet12"),
        input=InputRecipe(size=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
    )
    model = create_backbone(card.backbone, 32)
    save_encoder(model, card, tmp_path / "encoder.safetensors")
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(load_encoder(tmp_path / "encoder.safetensors").backbone(images), model.eval()(images))
    donor = timm.create_model("resnet12", num_classes=5)
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    started = create_backbone(BackboneSettings(name="resnet12", weights=tmp_path / "donor.safetensors"), 32)
    assert torch.equal(started.stages[0].conv1.weight, donor.stages[0].conv1.weight)


def test_it_is_trained_and_evaluated_by_its_name_from_the_command_line(coarsecon, tiny_data, tmp_path):
    done = coarsecon("pretrain", "--data", tiny_data, "--method", "ancor", "--backbone", "resnet12", "--epochs", 1,
                     "--batch-size", 16, "--limit", 32, "--device", "cpu", "--set", "data.workers=0", "--set",
                     "backbone.args={widths: [8, 8, 8, 8], drop_rate: 0.1}", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.err
    done = coarsecon("retrieve", tmp_path / "run", "--json", "-")
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)["fine"]["recall@1"] <= 1
