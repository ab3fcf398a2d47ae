"""Every command that takes a label level works with a label column, in which most labels may be unknown."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny import tiny_settings

import coarsecon
from coarsecon.data.labels.columns import add_labels
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.run.facade import Run
from coarsecon.run.folder import RunFolder
from coarsecon.run.provenance import Verifier
from coarsecon.run.training_images import trained_images, training_part
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


class Lines:
    """Collects the messages of a run."""

    def __init__(self, run: Run) -> None:
        self.texts: list[str] = []
        run.reporter.info = self.texts.append  # type: ignore[method-assign]


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """The tiny dataset with the column `reviewed`: the fine labels of the first three classes of train, renamed."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    label(data, "train")
    return data


@pytest.fixture
def run(tiny_run: Path, data: Path, tmp_path: Path) -> Run:
    shutil.copytree(tiny_run, tmp_path / "run")
    return coarsecon.load(tmp_path / "run", data=data, device="cpu", workers=0)


def label(data: Path, split: str) -> None:
    fine = open_dataset(data).split(split).labels["fine"].tolist()
    add_labels(data, "reviewed", [((split, i), f"kind {each}") for i, each in enumerate(fine) if each < 3], "Ann")


def test_knn_and_linear_cross_validate_a_column_that_only_train_has(run: Run) -> None:
    lines = Lines(run)
    found = coarsecon.evaluate(run, "knn", labels="reviewed", k=(3,), folds=3).values
    assert list(found) == ["reviewed"]
    assert (found["reviewed"]["queries"], found["reviewed"]["classes"], found["reviewed"]["folds"]) == (18, 3, 3)
    assert "78 of 96 images of train have no reviewed label and are left out" in lines.texts
    assert any("no reviewed labels in other splits, so train is cross-validated in 3 folds" in e for e in lines.texts)
    found = coarsecon.evaluate(run, "linear", labels="reviewed", folds=3, epochs=1).values
    assert (list(found), found["reviewed"]["queries"]) == (["reviewed"], 18)


def test_knn_and_linear_use_test_images_with_the_column(run: Run, data: Path) -> None:
    label(data, "test")
    found = coarsecon.evaluate(run, "knn", labels="reviewed", k=(3,)).values["reviewed"]
    assert (found["queries"], found["classes"], "folds" in found) == (9, 3, False)
    naive = 0
    dataset = open_dataset(data)
    bank, queries = (run.features(split) for split in ("train", "test"))
    known, asked = (dataset.split(split).labels["reviewed"] for split in ("train", "test"))
    for i in (asked >= 0).nonzero().flatten().tolist():
        cosines, nearest = (bank[known >= 0] @ queries[i]).topk(3)
        votes = torch.zeros(3).index_add_(0, known[known >= 0][nearest], (cosines / 0.1).exp())
        naive += int(votes.argmax() == asked[i])
    assert found["top1"] == pytest.approx(naive / 9)


def test_fewshot_draws_episodes_from_a_column(run: Run) -> None:
    found = coarsecon.evaluate(run, "fewshot", labels="reviewed", ways="all", queries=3, episodes=4, support_copies=1)
    assert found.values["ways"] == 3
    assert found.split == "train"


def test_retrieve_measures_a_column(run: Run) -> None:
    found = coarsecon.evaluate(run, "retrieve", labels="reviewed")
    assert found.split == "train"
    assert list(found.values) == ["reviewed"]
    assert (found.values["reviewed"]["queries"], found.values["reviewed"]["classes"]) == (18, 3)


def test_cluster_works_inside_the_classes_of_a_column(run: Run) -> None:
    found = coarsecon.evaluate(run, "cluster", within="reviewed", k=2).values
    assert sorted(row["name"] for row in found["classes"]) == ["kind 0", "kind 1", "kind 2"]
    assert [row["images"] for row in found["classes"]] == [6, 6, 6]


@pytest.mark.parametrize("name", ["knn", "linear", "retrieve", "fewshot"])
def test_a_level_that_is_not_there_is_an_error(run: Run, name: str) -> None:
    with pytest.raises(InputError, match=r"other.* label"):
        coarsecon.evaluate(run, name, labels="other")


def test_columns_do_not_change_what_is_evaluated_by_default(run: Run) -> None:
    assert list(coarsecon.evaluate(run, "knn", k=(3,)).values) == ["fine", "coarse"]
    assert {"fine", "coarse"} <= coarsecon.evaluate(run, "retrieve").values.keys()
    assert "reviewed" not in coarsecon.evaluate(run, "retrieve").values
    assert {"fine", "classes"} <= coarsecon.evaluate(run, "cluster", k=2).values.keys()
    assert "reviewed" not in coarsecon.evaluate(run, "cluster", k=2).values


def test_results_are_stale_once_the_column_they_were_computed_from_changes(run: Run, data: Path) -> None:
    coarsecon.evaluate(coarsecon.load(run.folder.root, data=data, device="cpu"), "knn", k=(2,))
    coarsecon.evaluate(run, "knn", k=(2,), labels="reviewed", folds=3)
    files = {each.stem: each for each in run.folder.results.glob("knn*k=2*.json")}
    one, other = sorted(files, key=len)
    assert "labels=reviewed" in other

    def freshness(name: str) -> str:
        source = json.loads(files[name].read_text())["computed_from"]
        return str(Verifier(run.folder).check(source, files[name]))

    assert (freshness(one), freshness(other)) == ("", "")
    label(data, "test")
    assert (freshness(one), freshness(other)) == ("", "")
    add_labels(data, "reviewed", [(("train", 0), "another")], "Ann")
    assert freshness(one) == ""
    assert freshness(other) == "stale: computed from an earlier version of reviewed"


def test_pretrain_leaves_out_unlabeled_images_and_keeps_the_version(data: Path, tmp_path: Path) -> None:
    settings = tiny_settings(data, "supce", data={"labels": "reviewed"}, run={"batch_size": 8})
    spec = build_run_spec(settings)
    assert spec.config.data.labels == "reviewed@1"
    assert len(spec.split) == 18
    assert any("78 of 96 images of train have no reviewed@1 label and are left out" in note for note in spec.notes())
    root = pretrain(spec, tmp_path / "new").root
    label(data, "test")
    add_labels(data, "reviewed", [(("train", 0), "another")], "Ann")
    folder = RunFolder(root)
    assert len(trained_images(folder, training_part(folder))) == 18
    assert coarsecon.load(root, device="cpu").training_images("train") == 18
    continued = coarsecon.pretrain(data, resume=True, out=root, **_sections(settings))
    assert continued.folder.config().data.labels == "reviewed@1"
    assert build_run_spec(settings).config.data.labels == "reviewed@3"


def _sections(settings: dict) -> dict:
    return {**settings, "data": {key: value for key, value in settings["data"].items() if key != "path"}}


def test_methods_without_labels_keep_unlabeled_images(data: Path) -> None:
    assert len(build_run_spec(tiny_settings(data, "simclr", data={"labels": "reviewed"})).split) == 96
