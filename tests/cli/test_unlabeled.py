"""Images without a label are left out, counted, and the level is named, by every command that reads labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_settings

from coarsecon.config import to_yaml
from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import COARSE, FINE, draw
from coarsecon.train.resolve import build_run_spec

QUICK = ("--device", "cpu", "--workers", 0)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset where every second fine label and four coarse labels of train are unknown."""
    splits = {}
    for place, (name, count) in enumerate({"train": 96, "test": 48}.items()):
        rng = np.random.default_rng(place)
        kinds = rng.permutation(np.arange(count) % 16)
        fine, coarse = np.where(np.arange(count) % 2, kinds, -1), kinds // 4
        coarse[: 4 * (name == "train")] = -1
        splits[name] = SplitData({"coarse": coarse, "fine": fine}, draw(kinds, rng))
    root = tmp_path_factory.mktemp("half") / "data"
    write_dataset(root, SourceData("half", 32, {"coarse": list(COARSE), "fine": FINE}, splits))
    return root


def values(found: dict, key: str) -> dict[str, int]:
    return {level: found[level][key] for level in ("fine", "coarse")}


def test_retrieve_counts_the_images_that_are_no_queries(coarsecon, tiny_run, half):
    done = coarsecon("retrieve", tiny_run, "--data", half, *QUICK, "--json", "-")
    assert done.code == 0, done.err
    assert "24 of 48 images of test have no fine label and are no queries" in done.err
    assert "coarse label" not in done.err
    assert values(json.loads(done.out), "queries") == {"fine": 24, "coarse": 48}


def test_retrieve_counts_the_images_of_a_gallery_that_match_no_query(coarsecon, tiny_run, half):
    done = coarsecon("retrieve", tiny_run, "--data", half, "--gallery-split", "train", *QUICK)
    assert done.code == 0, done.err
    assert "24 of 48 images of test have no fine label and are no queries" in done.err
    assert "48 of 96 images of train have no fine label and match no query" in done.err


@pytest.mark.parametrize("command", ["knn", "linear"])
def test_classifiers_count_what_they_leave_out_of_both_splits(coarsecon, tiny_run, half, command):
    done = coarsecon(command, tiny_run, "--data", half, *QUICK, "--json", "-")
    assert done.code == 0, done.err
    assert "48 of 96 images of train and 24 of 48 images of test have no fine label and are left out" in done.err
    assert "4 of 96 images of train have no coarse label and are left out" in done.err
    found = json.loads(done.out)
    assert values(found, "queries") == {"fine": 24, "coarse": 48}
    if command == "linear":
        assert values(found, "train_images") == {"fine": 48, "coarse": 92}


def test_linear_names_the_level_that_is_asked_for_only(coarsecon, tiny_run, half):
    done = coarsecon("linear", tiny_run, "--data", half, *QUICK, "--labels", "coarse")
    assert "have no coarse label" in done.err
    assert "have no fine label" not in done.err


def test_fewshot_counts_what_no_episode_can_draw(coarsecon, tiny_run, half):
    words = ("--ways", 2, "--queries", 1, "--episodes", 2, "--support-copies", 1, "--skip-small", *QUICK)
    done = coarsecon("fewshot", tiny_run, "--data", half, *words)
    assert done.code == 0, done.err
    assert "24 of 48 images of test have no fine label and are left out" in done.err


def test_cluster_counts_what_is_in_no_cluster_and_in_no_agreement(coarsecon, tiny_run, half, tmp_path):
    pytest.importorskip("sklearn")
    places = [word for kind in ("csv", "png", "html") for word in (f"--{kind}", tmp_path / f"out.{kind}")]
    done = coarsecon("cluster", tiny_run, "--data", half, "--k", 2, "--restarts", 1, *places, *QUICK)
    assert done.code == 0, done.err
    assert "4 of 96 images of train have no coarse label and are in no cluster" in done.err
    assert "48 of 96 images of train have no fine label and are left out of the agreement" in done.err


def test_pretrain_trains_on_the_labeled_images_and_resumes(coarsecon, half, tmp_path):
    file = tmp_path / "config.yaml"
    settings = tiny_settings(half, "supce", data={"labels": "fine"}, run={"batch_size": 16}, schedule={"epochs": 1})
    file.write_text(to_yaml(build_run_spec(settings).config))
    done = coarsecon("pretrain", "--config", file, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "on 48 images" in done.err
    assert "48 of 96 images of train have no fine label and are left out (data.labels=fine)" in done.err
    assert "24 of 48 images of test have no fine label and are not monitored" in done.err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 3
    again = coarsecon("pretrain", "--out", tmp_path / "run", "--resume")
    assert again.code == 0, again.err
    assert "48 of 96 images of train have no fine label and are left out (data.labels=fine)" in again.err


def test_a_level_that_no_training_image_has_is_an_error(coarsecon, half, tmp_path):
    rng = np.random.default_rng(0)
    labels = {"coarse": np.arange(32) % 4, "fine": np.full(32, -1)}
    part = SplitData(labels, draw(np.arange(32) % 16, rng))
    write_dataset(tmp_path / "none", SourceData("none", 32, {"coarse": list(COARSE), "fine": FINE}, {"train": part}))
    words = ("--data", tmp_path / "none", "--set", "data.labels=fine", "--batch-size", 8, "--out", tmp_path / "run")
    done = coarsecon("pretrain", *words)
    assert done.code == 2
    assert "has a fine label; train on another level" in done.err
    assert not (tmp_path / "run").exists()


def test_a_limit_counts_labeled_images(half):
    settings = tiny_settings(half, "supcon", data={"labels": "fine", "limit": 32}, run={"batch_size": 16})
    split = build_run_spec(settings).split
    assert len(split) == 32
    assert sorted(split.labels["fine"].tolist()) == sorted([*range(16)] * 2)


def test_too_few_labeled_images_for_a_batch_say_how_many_there_are(coarsecon, half, tmp_path):
    words = ("--data", half, "--set", "data.labels=fine", "--batch-size", 64, "--out", tmp_path / "run")
    done = coarsecon("pretrain", *words)
    assert done.code == 2
    assert "64 is more than the 48 training images (48 of 96 images of train have no fine label" in done.err


def test_methods_that_read_no_labels_use_every_image(half):
    planned = build_run_spec(tiny_settings(half, "moco", data={"labels": "fine"}))
    assert (len(planned.split), planned.left_out) == (96, "")
