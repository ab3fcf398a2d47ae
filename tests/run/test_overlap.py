"""Images that a run was trained on are found in other datasets by their pixels."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepared.hashes import image_hashes
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import Split, open_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.run import overlap
from coarsecon.run.folder import RunFolder
from coarsecon.run.overlap import training_overlap

QUICK = ("--device", "cpu", "--workers", 0)


@pytest.fixture
def run(tiny_run, tmp_path):
    ignored = shutil.ignore_patterns("features", "results", "figures", "index", "image-hashes")
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=ignored)


@pytest.fixture
def other(tiny_data, tmp_path):
    """Another dataset: its test split has 10 of the run's training images and 6 new ones, with labels of its own."""
    own = open_dataset(tiny_data).split("train").images.numpy()
    new = np.random.default_rng(1).integers(0, 256, (16, 3, 32, 32), dtype=np.uint8)
    test = np.concatenate([new[:3], own[20:30], new[3:6]])
    labels = {"coarse": np.arange(16) % 2, "fine": np.arange(16) % 4}
    splits = {"train": SplitData(labels, new), "test": SplitData(labels, test)}
    write_dataset(tmp_path / "other", SourceData("other", 32, {"coarse": ["a", "b"], "fine": list("wxyz")}, splits))
    return tmp_path / "other"


def test_the_training_images_in_another_dataset_are_counted(run, other):
    dataset = open_dataset(other)
    assert training_overlap(RunFolder(run), SplitRef(dataset, "test")) == 10
    assert training_overlap(RunFolder(run), SplitRef(dataset, "train")) == 0


def test_hashes_are_computed_once(run, other, monkeypatch):
    part = SplitRef(open_dataset(other), "test")
    assert training_overlap(RunFolder(run), part) == 10
    monkeypatch.setattr(overlap, "image_hashes", None)
    assert training_overlap(RunFolder(run), part) == 10
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(RunFolder(run).config().data.path), "/gone"))
    assert training_overlap(RunFolder(run), part) == 10


@pytest.mark.parametrize(
    "command",
    [
        ("retrieve",),
        ("knn", "--k", "3"),
        ("linear", "--labels", "fine", "--epochs", "1"),
        ("fewshot", "--ways", "2", "--queries", "1", "--episodes", "2"),
        ("tsne", "--method", "pca"),
        ("cluster", "--k", "2", "--restarts", "1", "--split", "test"),
    ],
    ids=lambda command: command[0],
)
def test_every_evaluation_reports_them(coarsecon, run, other, command):
    done = coarsecon(command[0], run, "--data", other, *command[1:], *QUICK)
    assert done.code == 0, done.err
    assert f"Warning: the run was trained on 10 of the 16 images of test of {other}" in done.err
    (result,) = (run / "results").glob("*.json")
    assert json.loads(result.read_text())["training_images"] == 10


def test_new_images_and_the_held_out_split_are_not_reported(coarsecon, run, other):
    for arguments in (("--data", other, "--split", "train"), ()):
        done = coarsecon("retrieve", run, *arguments, *QUICK)
        assert done.code == 0, done.err
        assert "Warning" not in done.err


def test_a_renamed_copy_of_the_dataset_is_known(coarsecon, run, tiny_data, tmp_path):
    copy = shutil.copytree(tiny_data, tmp_path / "copy")
    done = coarsecon("retrieve", run, "--data", copy, "--split", "train", *QUICK)
    assert f"trained on 96 of the 96 images of train of {copy}" in done.err
    assert "Warning" not in coarsecon("retrieve", run, "--data", copy, *QUICK).err


def test_only_the_images_of_a_limit_count(run, tiny_data, tmp_path):
    copy = shutil.copytree(tiny_data, tmp_path / "copy")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("limit: null", "limit: 24"))
    assert RunFolder(run).config().data.limit == 24
    assert training_overlap(RunFolder(run), SplitRef(open_dataset(copy), "train")) == 24


def test_a_dataset_that_is_gone_is_said_to_be_unknown(coarsecon, run, other):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(RunFolder(run).config().data.path), "/gone"))
    done = coarsecon("retrieve", run, "--data", other, *QUICK)
    assert done.code == 0, done.err
    assert f"Warning: cannot check whether the run was trained on test of {other}: /gone" in done.err


def test_files_are_known_by_their_pixels(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (90, 70, 3), dtype=np.uint8) for _ in range(2)]
    files = []
    for name, image, options in (("a.png", 0, {}), ("b.png", 0, {"compress_level": 0}), ("c.png", 1, {})):
        files.append(tmp_path / name)
        Image.fromarray(pixels[image]).save(files[-1], **options)
    (tmp_path / "d.png").write_bytes(b"broken")
    files.append(tmp_path / "d.png")
    split = Split("test", {"fine": torch.zeros(4, dtype=torch.int64)}, None, files, [file.name for file in files])
    first, again, other, broken = image_hashes(split, workers=1).tolist()
    assert first == again != other
    assert broken == 0
    array = torch.from_numpy(pixels[0]).permute(2, 0, 1)[None]
    as_array = replace(split, images=array, files=None, names=["x"], labels={"fine": torch.zeros(1, dtype=torch.int64)})
    assert image_hashes(as_array).tolist() == [first]
