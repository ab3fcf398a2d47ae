"""Distillation to the initial encoder, around the step of any method."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import first_batch, tiny_settings, tiny_trainer

from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.runtime import seeds
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.distillation import Distillation
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

WEIGHT = 0.7
TRAINED = {"supce": ["image"], "maskcon": ["query"], "simclr": ["view 1", "view 2"]}
"""Views that pass through the encoder with gradient."""


@pytest.mark.parametrize("name", TRAINED)
def test_the_term_is_the_naive_cosine_for_the_views_that_are_trained_on(name, tiny_data):
    trainer = tiny_trainer(tiny_data, name)
    views, labels = first_batch(trainer)
    step = Distillation(trainer.method, WEIGHT)
    initial = copy.deepcopy(trainer.method.encoder).eval()
    with torch.no_grad():
        for parameter in trainer.method.encoder.parameters():
            parameter.mul_(1.1)
    plain = copy.deepcopy(trainer.method)
    seeds.seed_step(0, seeds.VIEWS, 0, 0)
    expected = plain.step(views, labels)
    images = torch.cat([views[view] for view in TRAINED[name]])
    with torch.no_grad():
        features = copy.deepcopy(trainer.method.encoder)(images)
        term = (1 - F.cosine_similarity(features, initial(images))).mean()
    seeds.seed_step(0, seeds.VIEWS, 0, 0)
    scalars = step(views, labels)
    assert scalars["distillation"].item() == pytest.approx(term.item(), abs=1e-6)
    assert scalars["loss"].item() == pytest.approx((expected["loss"] + WEIGHT * term).item(), abs=1e-5)
    assert scalars.keys() == expected.keys() | {"distillation"}
    scalars["loss"].backward()
    assert all(parameter.grad is None for parameter in step.initial.parameters())
    assert not step.initial.training
    for key, value in initial.state_dict().items():
        assert torch.equal(step.initial.state_dict()[key], value), key


@pytest.fixture
def settings(tiny_data, tiny_run) -> dict:
    """A run from weights with a strong term."""
    layers = tiny_settings(tiny_data, run={"precision": "float32"}) | {"finetune": {"distill": 5.0}, "recipe": None}
    return layers | {"backbone": {**layers["backbone"], "weights": str(RunFolder(tiny_run).encoder())}}


def cosine_to_initial(run: RunFolder) -> float:
    return [row["distillation"] for row in run.metrics() if "distillation" in row][-1]


def test_the_term_is_logged_and_a_run_resumes_exactly_without_the_file_of_weights(settings, tmp_path):
    straight = pretrain(build_run_spec(settings), tmp_path / "straight")
    weights = Path(settings["backbone"]["weights"])
    moved = tmp_path / "weights.safetensors"
    for suffix in (".safetensors", ".json"):  # the card has the input transform
        moved.with_suffix(suffix).write_bytes(weights.with_suffix(suffix).read_bytes())
    half = settings | {"backbone": {**settings["backbone"], "weights": str(moved)}}
    pretrain(build_run_spec(half | {"schedule": {**settings["schedule"], "epochs": 1}}), tmp_path / "halves")
    moved.unlink()
    moved.with_suffix(".json").unlink()
    resumed = pretrain(build_run_spec(half), tmp_path / "halves", resume=True)
    one, other = (load_checkpoint(run.checkpoint("last")) for run in (straight, resumed))
    for key in ("method", "initial"):
        for name, value in one[key].items():
            assert torch.equal(value, other[key][name]), name
    weak = pretrain(build_run_spec(settings | {"finetune": {"distill": 1e-9}}), tmp_path / "weak")
    assert 0 < cosine_to_initial(straight) < cosine_to_initial(weak)


def test_a_method_that_does_not_call_its_encoder_is_refused(tiny_data):
    trainer = tiny_trainer(tiny_data, "supce")
    views, labels = first_batch(trainer)
    trainer.method.step = lambda views, labels: {"loss": trainer.method.encoder.forward(views["image"]).sum()}
    with pytest.raises(InputError, match=r"finetune\.distill: SupCE does not call its encoder"):
        Distillation(trainer.method, 1.0)(views, labels)


def test_random_weights_are_nothing_to_distill_from(tiny_data):
    with pytest.raises(InputError, match=r"finetune\.distill: needs pretrained weights"):
        build_run_spec(tiny_settings(tiny_data) | {"finetune": {"distill": 1.0}})


@pytest.mark.slow
def test_a_compiled_run_distills_and_compiles_once(settings, tmp_path):
    import torch._dynamo

    torch._dynamo.reset()
    compiled = {**settings, "run": {**settings["run"], "compile": True, "precision": "float32"}}
    plain = {**settings, "run": {**settings["run"], "precision": "float32"}}
    with torch._dynamo.config.patch(error_on_recompile=True):
        run = pretrain(build_run_spec(compiled), tmp_path / "compiled")
    expected = pretrain(build_run_spec(plain), tmp_path / "plain")
    assert cosine_to_initial(run) == pytest.approx(cosine_to_initial(expected), rel=0.05)
