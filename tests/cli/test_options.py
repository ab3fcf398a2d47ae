"""Options that all evaluation commands share: which features, and that none is extracted twice."""

import json
import re
import shutil
from pathlib import Path

import pytest

COMMANDS = {
    "retrieve": (),
    "knn": (),
    "linear": ("--epochs", 1),
    "fewshot": ("--queries", 2, "--episodes", 3, "--support-copies", 1, "--classifier", "cosine"),
}


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """A copy of the run, without features at first."""
    root = tmp_path_factory.mktemp("options") / "run"
    shutil.copytree(tiny_run, root, ignore=shutil.ignore_patterns("features", "results"))
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_every_evaluation_takes_layer_and_flip_and_keeps_the_results_apart(coarsecon, run, command):
    options = {"": (), "-projector": ("--layer", "projector"), "-flip": ("--flip",)}
    found, written_to = {}, set()
    for name, asked in options.items():
        done = coarsecon(command, run, *COMMANDS[command], *asked, "--device", "cpu", "--workers", 0)
        assert done.code == 0, done.err
        (written,) = re.findall(r"^wrote (\S*/results/\S*\.json)$", done.err, re.MULTILINE)
        found[name] = json.loads(Path(written).read_text())
        written_to.add(written)
        assert (found[name].pop("layer"), found[name].pop("flip")) == (
            "projector" if "projector" in name else "backbone", name == "-flip"
        )  # fmt: skip
    assert found[""] != found["-projector"]
    assert len(written_to) == len(options)
    again = coarsecon(command, run, *COMMANDS[command], "--flip", "--layer", "projector")
    assert again.code == 0
    assert "features of" not in again.err


@pytest.mark.parametrize("command", COMMANDS)
def test_the_projector_of_a_run_without_heads_is_told(coarsecon, run, tmp_path, command):
    shutil.copytree(run, tmp_path / "old")
    (tmp_path / "old" / "heads.safetensors").unlink()
    assert coarsecon(command, tmp_path / "old", *COMMANDS[command]).code == 0
    done = coarsecon(command, tmp_path / "old", *COMMANDS[command], "--layer", "projector")
    assert done.code == 2
    assert "kept no heads" in done.err


@pytest.mark.parametrize("command", ["knn", "localize"])
def test_the_former_name_of_checkpoint_works_and_warns(coarsecon, run, command):
    words = (command, run, "--device", "cpu", "--workers", 0, "--json", "-")
    now, before = coarsecon(*words, "--checkpoint", "best"), coarsecon(*words, "--encoder", "best")
    assert before.code == 0, before.err
    assert before.out == now.out
    assert "--encoder is now called --checkpoint" in before.err
    assert "--encoder is now" not in now.err


def test_the_search_page_accepts_the_former_name_of_checkpoint(coarsecon, run):
    done = coarsecon("serve", run, "--port", 0, "--encoder", "best", "--split", "nope", "--device", "cpu")
    assert "no split nope" in done.err
    assert "--encoder is now called --checkpoint" in done.err
