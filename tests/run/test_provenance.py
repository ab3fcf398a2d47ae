"""Results and figures know what they were computed from, and readers see when that has changed."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.pictures.origin import read_origin
from coarsecon.run.folder import RunFolder
from coarsecon.run.provenance import Verifier, split_mark
from coarsecon.run.results import COMPUTED_FROM

QUICK = ("--device", "cpu", "--workers", 0)


@pytest.fixture
def run(tiny_run, tiny_data, tmp_path) -> RunFolder:
    """A run of its own, with a dataset of its own."""
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("features", "results", "figures"))
    shutil.copytree(tiny_data, tmp_path / "data")
    run = RunFolder(tmp_path / "run")
    run.config_file.write_text(run.config_file.read_text().replace(str(tiny_data), str(tmp_path / "data")))
    return run


def train_on(run: RunFolder, file: str = "encoder.safetensors") -> None:
    """Change the weights, as further training does."""
    with safe_open(run.root / file, "pt") as opened:
        metadata = opened.metadata()
    state = load_file(run.root / file)
    changed = {key: value + 0.1 if value.is_floating_point() else value for key, value in state.items()}
    save_file(changed, run.root / file, metadata=metadata)


def replace_dataset(run: RunFolder) -> None:
    """Prepare other images at the same path."""
    from tiny import write_tiny_dataset

    data = run.config().data.path
    shutil.rmtree(data)
    write_tiny_dataset(data, train=80, test=40)


def freshness(run: RunFolder) -> dict[str, str]:
    return {result.name: str(result.freshness) for result in Verifier(run).results()}


EVALUATIONS = {
    "retrieve": ("retrieve",),
    "knn-k=5": ("knn", "--k", "5"),
    "linear-labels=fine-epochs=1": ("linear", "--labels", "fine", "--epochs", "1"),
    "fewshot-queries=2-episodes=2": ("fewshot", "--queries", "2", "--episodes", "2"),
    "cluster-k=2-restarts=1": ("cluster", "--k", "2", "--restarts", "1"),
    "pca": ("tsne", "--method", "pca"),
}


def test_every_evaluation_records_what_it_was_computed_from(coarsecon, run):
    for command, *options in EVALUATIONS.values():
        done = coarsecon(command, run.root, *options, *QUICK)
        assert done.code == 0, done.err
    assert freshness(run) == dict.fromkeys(EVALUATIONS, "")
    train_on(run)
    assert freshness(run) == dict.fromkeys(EVALUATIONS, "stale: computed from an earlier checkpoint")
    assert not any(result.freshness.is_usable for result in Verifier(run).results())


def test_another_dataset_at_the_same_path_makes_results_stale(coarsecon, run):
    data = run.config().data.path
    for command, *options in EVALUATIONS.values():
        assert coarsecon(command, run.root, *options, *QUICK).code == 0
    replace_dataset(run)
    told = f"stale: computed from another dataset than the one now at {data}"
    assert freshness(run) == dict.fromkeys(EVALUATIONS, told)


def test_class_names_are_part_of_what_a_result_was_computed_from(coarsecon, run):
    assert coarsecon("retrieve", run.root, *QUICK).code == 0
    info = run.config().data.path / "dataset.json"
    record = json.loads(info.read_text())
    record["levels"]["fine"][0], record["levels"]["fine"][1] = record["levels"]["fine"][1], record["levels"]["fine"][0]
    info.write_text(json.dumps(record))
    assert freshness(run)["retrieve"].startswith("stale: computed from another dataset")


def test_only_the_splits_that_were_used_count(coarsecon, run):
    from coarsecon.data.prepared.store import open_dataset

    assert coarsecon("retrieve", run.root, *QUICK).code == 0
    assert coarsecon("knn", run.root, "--k", "5", *QUICK).code == 0
    info = run.config().data.path / "dataset.json"
    before = open_dataset(info.parent)
    record = json.loads(info.read_text())
    record["splits"]["train"]["checksum"] = "of other images"
    info.write_text(json.dumps(record))
    assert split_mark(SplitRef(before, "test")) == split_mark(SplitRef(open_dataset(info.parent), "test"))
    assert freshness(run)["retrieve"] == ""
    assert freshness(run)["knn-k=5"].startswith("stale")


def test_a_gallery_in_another_dataset_and_a_second_run_count(coarsecon, run, tmp_path):
    from tiny import write_tiny_dataset

    other, second = write_tiny_dataset(tmp_path / "other", train=32, test=16), tmp_path / "second"
    shutil.copytree(run.root, second)
    assert coarsecon("retrieve", run.root, "--gallery-data", other, *QUICK).code == 0
    combined = ("fewshot", run.root, second, "--combine", "concat", "--queries", "2", "--episodes", "2", *QUICK)
    done = coarsecon(*combined)
    assert done.code == 0, done.err
    assert set(freshness(run).values()) == {""}
    shutil.rmtree(other)
    write_tiny_dataset(other, train=48, test=32)
    train_on(RunFolder(second))
    found = freshness(run)
    assert found["retrieve-in-other-test"] == f"stale: computed from another dataset than the one now at {other}"
    (fewshot,) = [text for name, text in found.items() if name.startswith("fewshot")]
    assert fewshot == f"stale: computed from an earlier checkpoint of {second}"


def test_a_result_of_the_projector_is_of_its_heads_too(coarsecon, run):
    assert coarsecon("retrieve", run.root, "--layer", "projector", *QUICK).code == 0
    assert coarsecon("retrieve", run.root, *QUICK).code == 0
    train_on(run, "heads.safetensors")
    assert freshness(run) == {
        "retrieve": "", "retrieve-projector": "stale: computed from an earlier checkpoint"
    }  # fmt: skip


def test_a_moved_run_and_a_moved_dataset_keep_their_results(coarsecon, run, tmp_path):
    assert coarsecon("retrieve", run.root, *QUICK).code == 0
    moved = RunFolder(run.root.rename(tmp_path / "moved"))
    data = moved.config().data.path
    data.rename(tmp_path / "elsewhere")
    gone = Verifier(moved).results()[0].freshness
    assert (gone.status, gone.is_usable) == ("current", True)
    assert gone.note == f"its dataset {data} is not there to compare with"
    moved.config_file.write_text(moved.config_file.read_text().replace(str(data), str(tmp_path / "elsewhere")))
    assert freshness(moved) == {"retrieve": ""}


def test_results_of_earlier_versions_are_unverified_and_probably_stale_where_they_are_older(coarsecon, run):
    assert coarsecon("retrieve", run.root, *QUICK).code == 0
    file = run.results / "retrieve.json"
    record = json.loads(file.read_text())
    del record[COMPUTED_FROM]
    file.write_text(json.dumps(record))
    found = Verifier(run).results()[0]
    assert found.record["fine"] == record["fine"]
    assert (found.freshness.status, found.freshness.is_usable) == ("unverified", True)
    os.utime(file, (1, 1))
    older = Verifier(run).results()[0].freshness
    assert (older.status, older.is_usable) == ("unverified", False)
    assert older.note.endswith("and is older than the encoder and the dataset")


@pytest.mark.parametrize(
    "source",
    [{}, [], "x", 7, {"encoders": 1, "splits": []}, {"encoders": [], "splits": []}, {"encoders": [{}], "splits": []},
     {"encoders": [{"run": ".", "checkpoint": "../x", "fingerprint": "y"}], "splits": []},
     {"encoders": [{"run": 5, "checkpoint": "last", "fingerprint": "y"}], "splits": [None]}],
)  # fmt: skip
def test_a_record_that_makes_no_sense_is_unverified(tiny_run, source):
    found = Verifier(RunFolder(tiny_run)).check(source, tiny_run / "config.yaml")
    assert found.status == "unverified"


def test_figures_carry_what_they_were_computed_from(coarsecon, run, tmp_path):
    for command in (("tsne", "--method", "pca"), ("cluster", "--k", "2", "--restarts", "1"), ("localize",)):
        assert coarsecon(command[0], run.root, *command[1:], *QUICK).code == 0
    gallery = ("--html", run.figures / "g.html", "--png", run.figures / "g.png")
    assert coarsecon("retrieve", run.root, *gallery, *QUICK).code == 0
    figures = [file for file in run.figures.iterdir() if file.suffix != ".svg"]
    assert len(figures) == 7
    verifier = Verifier(run)
    assert {str(verifier.check(read_origin(file), file)) for file in figures} == {""}
    assert "coarsecon:computed_from" in (run.figures / "pca.svg").read_text()
    train_on(run)
    told = {str(verifier.check(read_origin(file), file)) for file in figures}
    assert told == {"stale: computed from an earlier checkpoint"}


def test_an_index_of_another_projector_is_built_again(coarsecon, run, tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(tmp_path / "query.png")
    words = ("retrieve", run.root, "--query", tmp_path / "query.png", "--layer", "projector", "--json", "-", *QUICK)
    before = coarsecon(*words)
    train_on(run, "heads.safetensors")
    after = coarsecon(*words)
    assert f"wrote {run.index / 'train'}" in after.err
    assert json.loads(before.out) != json.loads(after.out)
    again = coarsecon(*words)
    assert f"wrote {run.index}" not in again.err
    assert json.loads(again.out) == json.loads(after.out)


def test_stale_results_enter_no_comparison(coarsecon, run):
    from coarsecon.report.comparison import compare

    assert coarsecon("retrieve", run.root, *QUICK).code == 0
    good = Verifier(run).results()
    train_on(run)
    stale = Verifier(run).results()
    assert compare([good, good])
    assert compare([good, stale]) == []
    assert compare([good, [replace(each, freshness=good[0].freshness) for each in stale]])
