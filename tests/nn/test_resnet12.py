"""ResNet-12: registered with timm, the published size, DropBlock, and usable wherever a backbone is."""

import copy
import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import tiny_settings
from torch import nn

from coarsecon.config import BackboneSettings
from coarsecon.nn.backbone import create_backbone, feature_dim
from coarsecon.nn.encoder import EncoderCard, InputTransform, load_encoder, save_encoder
from coarsecon.nn.resnet12 import DropBlock
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec
from coarsecon.train.stopping import InterruptedRunError, StopRequest

WARMUP_STEPS = 40_000


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


def expected_drop(rate: float, size: int, side: int) -> float:
    """Mean probability that a cell is inside a block, from the published probability of a block's corner."""
    corner = rate / size**2 * side**2 / (side - size + 1) ** 2
    corners_of = [sum(0 <= cell - offset <= side - size for offset in range(size)) for cell in range(side)]
    return sum(1 - (1 - corner) ** (rows * columns) for rows in corners_of for columns in corners_of) / side**2


@pytest.mark.parametrize(("side", "size", "stage"), [(32, 2, 2), (32, 2, 3), (84, 5, 2), (84, 5, 3)])
def test_dropblock_drops_the_published_fraction_of_each_stage(side, size, stage):
    model = timm.create_model("resnet12", num_classes=0, drop_rate=0.1, dropblock_size=size)
    drop, cells = model.stages[stage].drop, side // 2 ** (stage + 1)
    torch.manual_seed(0)
    dropped = drop.train()(torch.ones(64, 320, cells, cells), torch.tensor(WARMUP_STEPS)) == 0
    expected = expected_drop(0.1, size, cells)
    assert 0.07 < expected <= 0.1001
    assert dropped.float().mean().item() == pytest.approx(expected, rel=0.05)


def test_dropblock_draws_a_mask_for_each_channel_and_keeps_the_mean():
    torch.manual_seed(0)
    dropped = DropBlock(0.1, 5, WARMUP_STEPS).train()(torch.ones(64, 320, 5, 5), torch.tensor(WARMUP_STEPS))
    fractions = (dropped == 0).float().mean((1, 2, 3))
    assert fractions.max() < 0.2  # with one mask for all channels, an image loses all of this map or nothing
    assert fractions.std() == pytest.approx((0.1 * 0.9 / 320) ** 0.5, rel=0.4)
    assert dropped.mean().item() == pytest.approx(1, abs=1e-5)
    assert dropped.unique().numel() == 2


def test_dropped_cells_form_squares_of_the_block_size():
    torch.manual_seed(0)
    zeros = DropBlock(0.002, 3, WARMUP_STEPS).train()(torch.ones(32, 16, 10, 10), torch.tensor(WARMUP_STEPS)) == 0
    single = zeros[zeros.sum((2, 3)) == 9]
    assert len(single) > 10
    rows, columns = single.any(2), single.any(1)
    assert (rows.sum(1) == 3).all()
    assert (columns.sum(1) == 3).all()


@pytest.mark.parametrize(("step", "fraction"), [(0, 0), (10_000, 0.25), (20_000, 0.5), (40_000, 1), (90_000, 1)])
def test_dropblock_reaches_its_rate_linearly_over_40000_steps(step, fraction):
    torch.manual_seed(0)
    dropped = DropBlock(0.1, 2, WARMUP_STEPS).train()(torch.ones(128, 320, 4, 4), torch.tensor(step)) == 0
    assert dropped.float().mean().item() == pytest.approx(expected_drop(0.1 * fraction, 2, 4), rel=0.05)


def test_the_schedule_counts_training_steps_and_is_saved_with_the_weights():
    model = timm.create_model("resnet12", num_classes=0, widths=(4, 4, 4, 4), drop_rate=0.5, dropblock_size=2)
    steps: list[int] = []
    hook = lambda module, inputs: steps.append(int(inputs[1]))  # noqa: E731
    model.stages[3].drop.register_forward_pre_hook(hook)
    images = torch.randn(4, 3, 32, 32)
    for _ in range(3):
        model.train()(images)
    model.eval()(images)
    restored = timm.create_model("resnet12", num_classes=0, widths=(4, 4, 4, 4), drop_rate=0.5, dropblock_size=2)
    restored.load_state_dict(model.state_dict())
    restored.stages[3].drop.register_forward_pre_hook(hook)
    restored.train()(images)
    assert steps == [1, 2, 3, 3, 4]


def test_blocks_are_dropped_only_in_training_and_by_the_global_seed():
    model = create_backbone(BackboneSettings(name="resnet12", args={"drop_rate": 0.1}), 84)
    ones, late = torch.ones(64, 8, 10, 10), torch.tensor(WARMUP_STEPS)
    assert torch.equal(model.stages[3].drop.eval()(ones, late), ones)
    for stage in model.stages:
        stage.bn3.num_batches_tracked.fill_(WARMUP_STEPS)
    images = torch.randn(2, 3, 84, 84)
    again = copy.deepcopy(model)
    outputs = []
    for each in (model, again):
        torch.manual_seed(3)
        outputs.append(each.train()(images))
    assert torch.equal(*outputs)


def test_the_first_two_stages_drop_single_cells_and_the_last_two_blocks():
    model = create_backbone(BackboneSettings(name="resnet12", args={"drop_rate": 0.1, "dropblock_size": 2}), 32)
    assert [type(stage.drop).__name__ for stage in model.stages] == ["Dropout", "Dropout", "DropBlock", "DropBlock"]
    assert [stage.drop.size for stage in model.stages[2:]] == [2, 2]


def test_a_block_larger_than_the_map_drops_the_map():
    torch.manual_seed(0)
    dropped = DropBlock(0.5, 5, WARMUP_STEPS).train()(torch.ones(32, 32, 2, 2), torch.tensor(WARMUP_STEPS)) == 0
    assert set(dropped.float().mean((2, 3)).unique().tolist()) == {0, 1}
    everything = DropBlock(1.0, 2, WARMUP_STEPS).train()(torch.ones(2, 2, 2, 2), torch.tensor(WARMUP_STEPS))
    assert torch.equal(everything, torch.zeros(2, 2, 2, 2))


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
        input=InputTransform(size=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
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


def test_a_run_with_dropblock_resumes_bit_for_bit(tiny_data, tmp_path):
    backbone = {"name": "resnet12", "args": {"widths": [8, 8, 8, 8], "drop_rate": 0.5, "dropblock_size": 2}}
    backbone["args"]["dropblock_warmup_steps"] = 4
    ready = build_run_spec(tiny_settings(tiny_data, "moco", backbone=backbone, run={"precision": "float32"}))
    straight = pretrain(ready, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopRequest, "__enter__", lambda self: vars(self).update(requested=True) or self)
        with pytest.raises(InterruptedRunError, match="step 1"):
            pretrain(ready, tmp_path / "broken")
    resumed = pretrain(ready, tmp_path / "broken", resume=True)
    states = [load_checkpoint(run.checkpoint("last"))["method"] for run in (straight, resumed)]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert states[0]["encoder.stages.3.bn3.num_batches_tracked"] == 6
    assert not [name for name in states[0] if "drop" in name]  # weights of earlier versions have the same names
