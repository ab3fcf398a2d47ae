"""`coarsecon.pretrain`: the same training as the command's, from Python."""

import pytest
import torch
from tiny import tiny_settings

import coarsecon
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


def test_python_trains_the_same_run_as_settings_in_layers(tiny_data, tmp_path):
    layers = tiny_settings(tiny_data, "supce")
    sections = {name: values for name, values in layers.items() if name != "method"}
    opened = coarsecon.pretrain(tiny_data, method="supce", out=tmp_path / "python", **sections)
    pretrain(build_run_spec(layers), tmp_path / "layers")
    states = [load_checkpoint(RunFolder(tmp_path / name).checkpoint("last")) for name in ("python", "layers")]
    for name, value in states[0]["method"].items():
        assert torch.equal(value, states[1]["method"][name]), name
    assert opened.folder.root == tmp_path / "python"
    with pytest.raises(InputError, match="holds a run already"):
        coarsecon.pretrain(tiny_data, method="supce", out=tmp_path / "python", **sections)
    sections["optimizer"] = {**sections.get("optimizer", {}), "lr": 0.5}
    with pytest.raises(InputError, match=r"cannot resume: optimizer\.lr was .*, now 0\.5"):
        coarsecon.pretrain(tiny_data, method="supce", out=tmp_path / "python", resume=True, **sections)


def test_a_recipe_can_be_changed_by_sections(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sections = tiny_settings(tiny_data, "supce", schedule={"epochs": 1})
    sections["method"] = {"queue_size": 80, "dim": 16}
    coarsecon.pretrain(tiny_data, recipe="maskcon-toy", **sections)
    config = RunFolder(tmp_path / "runs" / "maskcon").config()
    assert (config.recipe, config.method["queue_size"], config.schedule.epochs) == ("maskcon-toy", 80, 1)
