"""Commands on a run or a dataset that somebody else made: no code runs, nothing is fetched, no other file is loaded."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
import yaml
from launch import python
from tiny import tiny_settings

PROCESS_EVENTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.fixture
def canary(tmp_path):
    """A path that must not exist after the command."""
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def edit_card(run, **backbone):
    path = run / "encoder.json"
    card = json.loads(path.read_text())
    card["backbone"] |= backbone
    path.write_text(json.dumps(card))


@pytest.fixture
def no_network(monkeypatch):
    import huggingface_hub
    import timm.models._builder as builder
    import torch.hub

    def refuses(*_, **__):
        raise AssertionError("something was fetched")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuses)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuses)
    for name in ("load_state_dict_from_hf", "load_state_dict_from_url", "load_custom_from_hf"):
        if hasattr(builder, name):
            monkeypatch.setattr(builder, name, refuses)


@pytest.mark.parametrize(
    "args",
    [
        {"pretrained_cfg_overlay": {"file": "FILE"}},
        {"pretrained_cfg": {"file": "FILE"}},
        {"pretrained_cfg": "hf-hub:nobody/nothing"},
        {"checkpoint_path": "FILE"},
        {"cache_dir": "FILE"},
    ],
    ids=str,
)
@pytest.mark.parametrize("pretrained", [False, True])
def test_an_encoder_card_cannot_load_a_file_of_weights(coarsecon, run, canary, tmp_path, no_network, args, pretrained):
    torch.save(Payload(canary), tmp_path / "weights.pth")
    text = json.dumps(args).replace("FILE", str(tmp_path / "weights.pth"))
    edit_card(run, args=json.loads(text), pretrained=pretrained)
    done = coarsecon("retrieve", run, "--device", "cpu")
    assert done.code == 2
    assert f"error: backbone.args: {next(iter(args))} is not allowed" in done.err


def test_a_saved_encoder_has_its_own_weights_whatever_its_card_says(coarsecon, run, canary, tmp_path, no_network):
    first = coarsecon("retrieve", run, "--device", "cpu", "--json", "-").out
    shutil.rmtree(run / "features", ignore_errors=True)
    torch.save(Payload(canary), tmp_path / "weights.pth")
    edit_card(run, pretrained=True, weights=str(tmp_path / "weights.pth"))
    done = coarsecon("retrieve", run, "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    assert done.out == first


@pytest.mark.parametrize("name", ["hf-hub:nobody/nothing", "local-dir:FOLDER", "small_stem"])
def test_an_encoder_card_names_a_model_of_timm_and_no_place(coarsecon, run, tmp_path, no_network, name):
    edit_card(run, name=name.replace("FOLDER", str(tmp_path)), args={})
    done = coarsecon("retrieve", run, "--device", "cpu")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "error: backbone" in done.err


def test_a_run_resumes_without_the_weights_it_once_started_from(coarsecon, run, canary, tmp_path, no_network):
    torch.save(Payload(canary), tmp_path / "weights.pth")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["backbone"] |= {"pretrained": True, "weights": str(tmp_path / "weights.pth")}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    done = coarsecon("pretrain", "--out", run, "--resume", "--device", "cpu")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("checkpoints/last.pt", ["pretrain", "--resume", "--device", "cpu", "--out"]),
        ("encoder.safetensors", ["retrieve", "--device", "cpu"]),
        ("heads.safetensors", ["retrieve", "--layer", "projector", "--device", "cpu"]),
    ],
)
@pytest.mark.parametrize("dump", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_in_place_of_a_file_of_the_run_is_refused(coarsecon, run, canary, file, command, dump):
    dump(Payload(canary), run / file)
    done = coarsecon(*command, run)
    assert done.code == 2
    assert str(run / file) in done.err


def test_pickled_features_are_made_again(coarsecon, run, canary):
    first = coarsecon("retrieve", run, "--device", "cpu", "--json", "-").out
    kept = list((run / "features").glob("*.npy"))
    assert kept
    for file in kept:
        np.save(file, np.array([Payload(canary)], dtype=object), allow_pickle=True)
    done = coarsecon("retrieve", run, "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    assert done.out == first


def test_tags_of_yaml_build_nothing(coarsecon, run, canary):
    (run / "config.yaml").write_text(f"method: !!python/object/apply:os.mkdir ['{canary}']\n")
    for command in (["retrieve", run], ["pretrain", "--out", run, "--resume"]):
        done = coarsecon(*command)
        assert done.code == 2
        assert f"{run / 'config.yaml'}, line 1: not valid YAML" in done.err


def test_commands_start_no_program(tiny_data, tmp_path):
    """Worker processes are forked by multiprocessing, which is no such event."""
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_settings(tiny_data, schedule={"epochs": 1, "warmup_epochs": 0})))
    code = (
        "import sys\n"
        f"events = {PROCESS_EVENTS}\n"
        "def hook(event, values):\n"
        "    if event in events: print('STARTED', event, values)\n"
        "sys.addaudithook(hook)\n"
        "from coarsecon.cli.main import run\n"
        f"out = {str(tmp_path / 'run')!r}\n"
        f"for words in (['pretrain', '--config', {str(config)!r}, '--out', out], ['retrieve', out], ['knn', out],\n"
        "              ['report', out], ['methods'], ['doctor']):\n"
        "    try: run(words)\n"
        "    except SystemExit as end: print(words[0], end.code)\n"
    )
    done = python("-c", code)
    assert done.code == 0, done.err
    assert "STARTED" not in done.out
    ended = {"pretrain 0", "retrieve 0", "knn 0", "report 0", "methods 0", "doctor 0"}
    assert ended <= set(done.out.splitlines()), done.err
