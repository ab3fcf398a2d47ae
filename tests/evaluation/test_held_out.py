"""A dataset without test and val split is cross-validated: no image is classified by its own label or a copy of it."""

import json
import shutil

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import COARSE, FINE, draw
from coarsecon.errors import InputError
from coarsecon.evaluation.held_out import HeldOut, held_out, split_folds
from coarsecon.metrics.knn import knn_predict
from coarsecon.run.facade import Run
from coarsecon.runtime.progress import Reporter


def write(folder, fine, images, **more):
    levels = {"coarse": list(COARSE), "fine": FINE}
    labels = {"coarse": np.where(fine < 0, 0, fine // 4), "fine": fine}
    return write_dataset(folder, SourceData("one", 32, levels, {"train": SplitData(labels, images, **more)}))


@pytest.fixture(scope="module")
def own_run(tiny_run, tmp_path_factory):
    """A copy of a run, whose results no other test finds."""
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("copy") / "run")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A dataset with one split: 10 images of each of 16 fine classes, in random order."""
    fine = default_rng(1).permutation(np.arange(160) % 16)
    return write(tmp_path_factory.mktemp("single") / "data", fine, draw(fine, default_rng(0))).root


def test_knn_predicts_each_fold_from_the_others(coarsecon, own_run, single):
    done = coarsecon("knn", own_run, "--data", single, "--k", "3,7", "--json", "-")
    assert done.code == 0, done.err
    assert "no test or val split, so train is cross-validated in 5 folds" in done.err
    assert "trained on these images" not in done.err
    found = json.loads(done.out)["fine"]
    assert (found["folds"], found["queries"], found["classes"], found["k"]) == (5, 160, 16, 3)
    run = Run(own_run, single)
    features, labels = run.features("train"), run.dataset.split("train").labels["fine"]
    folds = split_folds(run, "train", 5)
    accuracies = []
    for fold in range(5):
        inside = folds == fold
        assert labels[inside].bincount().tolist() == [2] * 16
        predicted = knn_predict(features[~inside], labels[~inside], features[inside], k=3)
        accuracies.append(float((predicted == labels[inside]).double().mean()))
    assert [fold["top1"] for fold in found["by_fold"]] == pytest.approx(accuracies)
    assert found["top1"] == pytest.approx(np.mean(accuracies))
    assert [(cell["k"], set(cell)) for cell in found["grid"]] == [(k, {"k", "t", "top1", "ci95"}) for k in (3, 7)]
    assert found["ci95"] == found["grid"][0]["ci95"] > 0


def test_the_table_shows_folds_and_intervals(coarsecon, own_run, single):
    done = coarsecon("knn", own_run, "--data", single, "--k", "3", "--folds", "4", "--seed", "1")
    assert "kNN top-1 of train (4-fold cross-validation), in %" in " ".join(done.out.split())
    assert "±" in done.out


def test_the_linear_probe_is_cross_validated(coarsecon, own_run, single):
    words = ("linear", own_run, "--data", single, "--epochs", 2, "--folds", 3, "--json", "-")
    done = coarsecon(*words)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    for level, classes in (("fine", 16), ("coarse", 4)):
        values = found[level]
        assert (values["folds"], values["queries"], values["classes"], values["epochs"]) == (3, 160, classes, 2)
        assert values["top1"] == pytest.approx(np.mean([fold["top1"] for fold in values["by_fold"]]))
        assert sum(fold["queries"] for fold in values["by_fold"]) == 160
        assert all(fold["queries"] + fold["train_images"] == 160 for fold in values["by_fold"])
        assert values["ci95"] > 0
    assert coarsecon(*words).out == done.out
    shown = coarsecon(*words[:-2])
    assert "Linear classifier (sweep) on train (3-fold cross-validation), in %" in " ".join(shown.out.split())


def test_few_labels_and_random_views_are_cross_validated(coarsecon, own_run, single):
    words = ("linear", own_run, "--data", single, "--epochs", 1, "--folds", 2, "--labels", "coarse", "--json", "-")
    done = coarsecon(*words, "--shots-per-class", 2, "--repeats", 2)
    assert done.code == 0, done.err
    found = json.loads(done.out)["coarse"]
    assert (found["folds"], found["train_images"], found["shots_per_class"]) == (2, 8, 2)
    assert [len(fold["draws"]) for fold in found["by_fold"]] == [2, 2]
    done = coarsecon(*words, "--finetune", "--batch-size", 32, "--workers", 0, "--device", "cpu")
    assert done.code == 0, done.err
    found = json.loads(done.out)["coarse"]
    assert [(fold["queries"], fold["train_images"]) for fold in found["by_fold"]] == [(80, 80)] * 2
    assert "best" not in found


def test_copies_and_groups_stay_in_one_fold(own_run, tmp_path):
    fine = np.arange(96) % 4
    images = draw(fine, default_rng(0))
    images[90:] = images[:6]
    groups = ["" if i % 3 else f"animal {i // 12}" for i in range(96)]
    write(tmp_path / "data", fine, images, groups=groups)
    folds = split_folds(Run(own_run, tmp_path / "data"), "train", 4).numpy()
    assert np.array_equal(folds[90:], folds[:6])
    for group in set(groups) - {""}:
        assert len(np.unique(folds[[i for i in range(96) if groups[i] == group]])) == 1
    assert np.ptp(np.bincount(folds, minlength=4)) <= 8


def test_copies_do_not_classify_each_other(coarsecon, own_run, tmp_path):
    fine = np.repeat(default_rng(2).permutation(16), 2)
    write(tmp_path / "data", fine, np.repeat(default_rng(0).integers(0, 256, (16, 3, 32, 32), np.uint8), 2, axis=0))
    done = coarsecon("knn", own_run, "--data", tmp_path / "data", "--k", 1, "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["fine"]["top1"] == 0, "the only other image of the class is a copy"


def test_the_encoders_training_images_warn(own_run, tmp_path, tiny_data, monkeypatch):
    messages = []
    run = Run(own_run)
    monkeypatch.setattr(type(run.reporter), "info", lambda self, text: messages.append(text))
    assert held_out(run, 5) == HeldOut("test")
    monkeypatch.setattr(Run, "default_split", lambda self, level=None: "train")
    assert held_out(run, 5).count == 5
    assert "the encoder was trained on these images" in messages[-1]


def test_too_few_labeled_images_for_the_folds_are_refused(coarsecon, own_run, tmp_path):
    fine = np.where(np.arange(60) < 3, np.arange(60), -1)
    write(tmp_path / "data", fine, draw(np.arange(60) % 16, default_rng(0)))
    for command in ("knn", "linear"):
        done = coarsecon(command, own_run, "--data", tmp_path / "data")
        assert done.code == 2
        assert "--folds: only 3 of 5 folds have images with a fine label; use fewer folds" in done.err


def test_images_of_a_single_group_are_refused(own_run, tmp_path):
    fine = np.arange(32) % 16
    write(tmp_path / "data", fine, draw(fine, default_rng(0)), groups=["a walk"] * 32)
    chosen = held_out(Run(own_run, tmp_path / "data"), 5)
    with pytest.raises(InputError, match="folds: only 1 of 5 folds have images with a fine label"):
        next(chosen.parts("fine", torch.from_numpy(fine), torch.from_numpy(fine), reporter=Reporter()))


def test_a_class_with_one_image_counts_as_an_error(coarsecon, own_run, single, tmp_path):
    dataset = open_dataset(single).split("train")
    fine = dataset.labels["fine"].numpy()
    kept = np.flatnonzero((fine != 3) | (np.cumsum(fine == 3) == 1))
    write(tmp_path / "data", fine[kept], dataset.images.numpy()[kept])
    done = coarsecon("knn", own_run, "--data", tmp_path / "data", "--k", 1, "--json", "-")
    assert "1 of 151 images are the only ones of their fine class" in done.err
    assert json.loads(done.out)["fine"]["queries"] == 151


def test_few_shot_episodes_and_retrieval_use_the_only_split(coarsecon, own_run, single):
    done = coarsecon("fewshot", own_run, "--data", single, "--queries", 2, "--episodes", 5, "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["episodes"] == 5
    done = coarsecon("retrieve", own_run, "--data", single, "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["fine"]["queries"] == 160


def test_a_cascade_predicts_coarse_classes_of_images_it_was_not_trained_on(coarsecon, own_run, tmp_path):
    fine = default_rng(1).integers(0, 16, 160)
    write(tmp_path / "data", fine, default_rng(0).integers(0, 256, (160, 3, 32, 32), np.uint8))
    asked = ("--data", tmp_path / "data", "--combine", "cascade", "--support-copies", 1, "--queries", 1)
    done = coarsecon("fewshot", own_run, own_run, *asked, "--episodes", 300, "--classifier", "cosine", "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["accuracy"] < 0.3, "images of noise have no coarse class to predict: chance is 0.2"


def test_reports_compare_runs_fold_by_fold(coarsecon, own_run, single, tmp_path):
    shutil.copytree(own_run, tmp_path / "second")
    for run in (own_run, tmp_path / "second"):
        assert coarsecon("knn", run, "--data", single, "--k", "5").code == 0
    done = coarsecon("report", own_run, tmp_path / "second", "--out", tmp_path / "report.html", "--json", "-")
    assert done.code == 0, done.err
    rows = {row["level"]: row["differences"][1] for row in json.loads(done.out) if row["result"].startswith("knn-data")}
    assert rows.keys() == {"fine", "coarse"}
    assert all((row["value"], row["by"]) == (0, "same draws") for row in rows.values())
