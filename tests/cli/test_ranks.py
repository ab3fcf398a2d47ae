"""Evaluations that torchrun starts on two ranks: one of them speaks and writes, and a mistake is told once."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from launch import on_two_ranks


@pytest.fixture
def fresh(tiny_run, tmp_path) -> Path:
    """A copy of the run without what evaluations leave."""
    ignored = shutil.ignore_patterns("features", "results", "figures", "index")
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=ignored)


@pytest.mark.slow
def test_torchrun_measures_what_one_process_does_and_prints_it_once(coarsecon, fresh, tiny_run):
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words += ["-m", "coarsecon", "retrieve", str(fresh), "--json", "-"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    alone = coarsecon("retrieve", tiny_run, "--json", "-")
    assert done.stdout == alone.out
    assert done.stderr.count("features of test: 48/48 images") == 1
    assert done.stderr.count("wrote ") == 1
    saved = json.loads((fresh / "results" / "retrieve.json").read_text())
    assert saved["fine"] == json.loads(alone.out)["fine"]


@pytest.mark.parametrize(
    "command",
    [
        ["knn", "--k", "5"],
        pytest.param(["retrieve", "--query", "IMAGE", "--top-k", "2"], marks=pytest.mark.slow),
        pytest.param(["fewshot", "--episodes", "3", "--queries", "1"], marks=pytest.mark.slow),
        pytest.param(["linear", "--epochs", "1"], marks=pytest.mark.slow),
        pytest.param(["cluster", "--k", "2", "--split", "test"], marks=pytest.mark.slow),
        pytest.param(["tsne", "--method", "pca"], marks=pytest.mark.slow),
    ],
    ids=lambda command: command[0],
)
def test_the_first_rank_goes_on_with_what_all_extracted_and_the_others_end(fresh, command):
    words = [fresh / "views.png" if word == "IMAGE" else word for word in command[1:]]
    first, second = on_two_ranks("-m", "coarsecon", command[0], fresh, *words)
    assert first.code == 0, first.err
    assert "wrote " in first.err
    assert second.code == 0, second.err
    assert "error" not in second.err
    assert "features" not in second.err
    assert second.out == ""


BREAKS = """
import os, sys
from coarsecon.cli.main import run
from coarsecon.errors import InputError
from coarsecon.run import features as extraction
from coarsecon.nn.encoder import Encoder
extraction.BATCH = 10
features = Encoder.features
def breaks(self, batch, **options):
    if os.environ["RANK"] in {ranks!r}:
        raise InputError("photo.png: broken")
    return features(self, batch, **options)
Encoder.features = breaks
run(["retrieve", sys.argv[1]])
"""


@pytest.mark.parametrize("broken", ["1", pytest.param("01", marks=pytest.mark.slow)])
def test_what_one_or_all_ranks_refuse_ends_all_with_one_message(fresh, monkeypatch, broken):
    monkeypatch.setenv("COARSECON_TIMEOUT", "3600")  # who waits until time is out fails here
    told = on_two_ranks("-c", BREAKS.format(ranks=broken), fresh)
    assert all(rank.code for rank in told)
    everything = "".join(rank.out + rank.err for rank in told)
    assert everything.count("error: ") == 1, everything
    assert "photo.png: broken" in everything
    assert "Traceback" not in everything
    assert not (fresh / "results").exists()
