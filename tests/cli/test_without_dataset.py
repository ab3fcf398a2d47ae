"""A run whose dataset is not there: commands ask only for what they use."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from coarsecon.run.facade import Run
from coarsecon.run.spec import Runtime

QUICK = ("--device", "cpu", "--workers", 0)


@pytest.fixture
def run(tiny_run, tmp_path):
    """An encoder as it is downloaded: no dataset, no heads, no checkpoints."""
    ignored = shutil.ignore_patterns("features", "results", "figures", "index", "checkpoints", "heads*.safetensors")
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=ignored)
    config = run / "config.yaml"
    lines = [
        "  path: /nowhere/data" if line.startswith("  path:") else line for line in config.read_text().splitlines()
    ]
    config.write_text("\n".join(lines) + "\n")
    return run


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, color in enumerate(("red", "green", "blue", "orange")):
        Image.new("RGB", (40, 32), color).save(folder / f"{i}-{color}.png")
    return folder


def test_a_folder_is_searched(coarsecon, run, photos, tmp_path):
    shutil.copy(photos / "0-red.png", tmp_path / "query.png")
    words = ("--gallery", photos, "--query", tmp_path / "query.png", "--query", photos / "2-blue.png", "--top-k", 3)
    done = coarsecon("retrieve", run, *words, "--html", tmp_path / "g.html", "--heat", "--json", "-", *QUICK)
    assert done.code == 0, done.err
    red, blue = json.loads(done.out)
    assert {each["name"].rpartition("-")[2] for each in red["neighbours"]} == {"green.png", "blue.png", "orange.png"}
    assert len(blue["neighbours"]) == 3
    assert done.err.count("there is no heads.safetensors; using the backbone's features") == 1


def test_a_dataset_that_was_named_must_be_there(coarsecon, run, photos):
    words = ("--gallery", photos, "--query", photos / "0-red.png", "--data", "/nowhere/else")
    done = coarsecon("retrieve", run, *words, *QUICK)
    assert done.code == 2
    assert "/nowhere/else" in done.err


def test_images_are_localized(coarsecon, run, photos):
    done = coarsecon("localize", run, "--image", photos, "--json", "-", *QUICK)
    assert done.code == 0, done.err
    assert len(json.loads(done.out)) == 4


@pytest.mark.parametrize(
    "command", [("retrieve",), ("knn",), ("linear",), ("fewshot",), ("cluster",), ("tsne",), ("serve", "--port", "0")]
)
def test_what_needs_a_dataset_says_so(coarsecon, run, command):
    done = coarsecon(command[0], run, *command[1:], *QUICK)
    assert done.code == 2
    assert "/nowhere/data: the dataset of" in done.err
    assert "set data.path (--data)" in done.err


def test_a_run_that_names_no_dataset_says_so(coarsecon, run):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("path: /nowhere/data", "path: null"))
    done = coarsecon("retrieve", run, *QUICK)
    assert done.code == 2
    assert f"{run}: names no dataset; set data.path (--data)" in done.err


def test_other_data_is_enough(coarsecon, run, tiny_data):
    for command in (
        ("retrieve",),
        ("fewshot", "--queries", "2", "--episodes", "2"),
        ("cluster", "--k", "2", "--restarts", "1"),
    ):
        done = coarsecon(command[0], run, "--data", tiny_data, *command[1:], *QUICK)
        assert done.code == 0, done.err


def test_a_cascade_without_heads_takes_coarse_classes_by_logistic_regression(coarsecon, run, tiny_data):
    words = ("--combine", "cascade", "--queries", "2", "--episodes", "2", "--data", tiny_data)
    done = coarsecon("fewshot", run, run, *words, *QUICK)
    assert done.code == 0, done.err
    assert "coarse classes come from logistic regression on train" in done.err


def test_the_encoder_is_embedded_with_exported_and_reported(coarsecon, run, photos, tmp_path):

    assert Run(run, runtime=Runtime("cpu")).embed(photos / "0-red.png").shape == (
        1,
        Run(run, runtime=Runtime("cpu")).dim,
    )
    assert np.isfinite(Run(run, runtime=Runtime("cpu")).embed(photos)).all()
    assert coarsecon("export", run, "--to", "hub", "--out", tmp_path / "hub").code == 0
    assert coarsecon("report", run, "--out", tmp_path / "page.html").code == 0
