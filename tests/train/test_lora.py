"""Runs that train low-rank adapters: what they save is a plain encoder, and they resume exactly."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from tiny import tiny_settings

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.errors import InputError
from coarsecon.exporters import export
from coarsecon.nn.lora import merged_state
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import open_encoder
from coarsecon.runtime.progress import Reporter
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining, pretrain
from coarsecon.train.resolve import RunSpec, build_run_spec

pytest.importorskip("peft")

ADAPTERS = {"train": "lora", "lora_rank": 4}
FORMS = {
    "maskcon": {"ema": 0.9, "layer_decay": 0.75},
    "supce": {"distill": 1.0},
    "cnce": {},
}
"""Methods with the other settings of fine-tuning that they are trained with."""


@pytest.fixture(scope="module")
def weights(tiny_run: Path) -> Path:
    return RunFolder(tiny_run).encoder()


def layers(tiny_data: Path, weights: Path, method: str = "supce", **finetune: object) -> dict:
    settings = tiny_settings(tiny_data, method, run={"precision": "float32"})
    settings["backbone"] = {**settings["backbone"], "weights": str(weights)}
    return settings | {"finetune": {**ADAPTERS, **finetune}, "recipe": None}


def spec(*arguments: object, **finetune: object) -> RunSpec:
    return build_run_spec(layers(*arguments, **finetune))


@pytest.mark.parametrize("method", FORMS)
def test_a_run_saves_a_plain_encoder_and_resumes_bit_for_bit(method, tiny_data, weights, tmp_path):
    settings = layers(tiny_data, weights, method, **FORMS[method])
    run = pretrain(build_run_spec(settings), tmp_path / "straight")
    before, after = load_file(weights), load_file(run.encoder())
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "layer4.0.conv1.weight" in changed
    assert all(before[name].ndim == 4 and "conv1.0" not in name for name in changed), "neither stem nor batch norms"
    initial = load_file(run.encoder("initial"))
    assert all(torch.equal(initial[name], before[name]) for name in before)
    state = load_checkpoint(run.checkpoint("last"))
    trained = sum(len(group["params"]) for group in state["optimizer"]["param_groups"])
    heads = len([name for name in state["method"] if name.startswith(("projector.", "classifier."))])
    assert trained == 2 * len(changed) + heads, "A and B of each layer, and the heads"

    pretrain(build_run_spec({**settings, "schedule": {**settings["schedule"], "epochs": 1}}), tmp_path / "halves")
    halves = pretrain(build_run_spec(settings), tmp_path / "halves", resume=True)
    assert halves.encoder().read_bytes() == run.encoder().read_bytes()
    other = load_checkpoint(halves.checkpoint("last"))
    for key in state.keys() - {"optimizer", "progress", "images"}:
        for name, value in state[key].items():
            assert torch.equal(value, other[key][name]), (key, name)


def test_the_saved_encoder_computes_the_monitored_features(tiny_data, weights, tmp_path):
    trainer = Pretraining(spec(tiny_data, weights, ema=0.5), RunFolder(tmp_path / "run"), Reporter())
    Loop(trainer).run_to_end()
    batch = next(ImageLoader(trainer.monitored, torch.device("cpu"), 0).batches([torch.arange(8)]))
    network = trainer.evaluated["encoder"].eval()
    saved = open_encoder(trainer.run)
    inputs = saved.inputs(batch)
    with torch.no_grad():
        torch.testing.assert_close(saved.backbone(inputs), network(inputs), rtol=1e-4, atol=1e-5)
    expected = merged_state(network)
    assert all(torch.equal(value, expected[name]) for name, value in saved.backbone.state_dict().items())
    assert not any("lora" in name for name in saved.backbone.state_dict())


def test_export_writes_weights_that_timm_loads(tiny_data, weights, tmp_path):
    run = pretrain(spec(tiny_data, weights), tmp_path / "run")
    export(run, "timm", tmp_path / "exported")
    saved = load_file(run.encoder())
    model = timm.create_model(f"local-dir:{tmp_path / 'exported'}", pretrained=True)
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_adapters_of_random_weights_are_refused(tiny_data):
    with pytest.raises(InputError, match=r"finetune\.train: lora needs pretrained weights"):
        build_run_spec(tiny_settings(tiny_data) | {"finetune": ADAPTERS})
