"""Training states of another structure are refused in one sentence that names the file and the remedy."""

import copy

import pytest
import torch
from tiny import tiny_settings

from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.train.checkpoint import load_checkpoint, save_checkpoint
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.fixture
def run(tiny_run, tmp_path):
    import shutil

    return RunFolder(shutil.copytree(tiny_run, tmp_path / "run"))


def resumed(run, tiny_data):
    with pytest.raises(InputError) as refused:
        pretrain(build_run_spec(tiny_settings(tiny_data)), run.root, resume=True)
    message = str(refused.value)
    assert message.startswith(f"{run.checkpoint('last')}: ")
    assert message.endswith("; restore the file, or start again in another folder")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("value", [[1], "text", torch.zeros(3), None, {1: 2}], ids=str)
def test_another_value_than_a_state_is_refused(run, tiny_data, value):
    torch.save(value, run.checkpoint("last"))
    assert "not a training state" in resumed(run, tiny_data)


@pytest.mark.parametrize("part", ["method", "optimizer", "progress"])
@pytest.mark.parametrize("value", [None, "text", [], {}, {"a": "b"}], ids=str)
def test_a_part_of_another_structure_is_refused(run, tiny_data, part, value):
    state = load_checkpoint(run.checkpoint("last"))
    save_checkpoint({**state, part: value}, run.checkpoint("last"))
    assert "not a state of this training" in resumed(run, tiny_data)


@pytest.mark.parametrize("step", [-1, "3", 1.5, None])
def test_progress_that_is_no_number_of_steps_is_refused(run, tiny_data, step):
    state = load_checkpoint(run.checkpoint("last"))
    state["progress"]["step"] = step
    save_checkpoint(state, run.checkpoint("last"))
    assert "its progress is not in steps and epochs" in resumed(run, tiny_data)


@pytest.mark.parametrize("buffer", [torch.zeros(3, 3), "text", [1]], ids=["tensor", "text", "list"])
def test_momentum_that_does_not_fit_its_parameter_is_refused(run, tiny_data, buffer):
    state = load_checkpoint(run.checkpoint("last"))
    for kept in state["optimizer"]["state"].values():
        kept["momentum_buffer"] = buffer
    save_checkpoint(state, run.checkpoint("last"))
    assert "momentum_buffer of the optimizer is" in resumed(run, tiny_data)


def test_settings_of_the_optimizer_of_another_type_are_refused(run, tiny_data):
    state = copy.deepcopy(load_checkpoint(run.checkpoint("last")))
    state["optimizer"]["param_groups"][0]["momentum"] = "0.9"
    save_checkpoint(state, run.checkpoint("last"))
    assert "momentum of the optimizer is '0.9'" in resumed(run, tiny_data)
