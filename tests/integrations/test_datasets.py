"""Embeddings and proposed labels reach the tools that people look at data with."""

import sys
import types

import numpy as np
import pytest

import coarsecon
from coarsecon.errors import InputError
from coarsecon.integrations.datasets import proposed_labels, to_datasets, to_fiftyone


@pytest.fixture(scope="module")
def encoder(tiny_run):
    return coarsecon.load(tiny_run, device="cpu")


@pytest.fixture
def proposals(encoder, tmp_path):
    names = encoder.dataset.split("test").names
    rows = ["path,coarse,proposed", *(f"{name},c,c-{i % 3 + 1}" for i, name in enumerate(names[:-1]))]
    (tmp_path / "cluster.csv").write_text("\n".join(rows))
    return tmp_path / "cluster.csv"


def test_a_dataset_of_hugging_face_has_images_labels_embeddings_and_proposals(encoder, proposals):
    pytest.importorskip("datasets")
    dataset = to_datasets(encoder, "test", proposals=proposals)
    split, info = encoder.dataset.split("test"), encoder.dataset.info
    assert len(dataset) == len(split)
    row = dataset[4]
    assert np.allclose(row["embedding"], encoder.features("test").numpy()[4])
    assert row["fine"] == info.levels["fine"][split.labels["fine"][4]]
    assert row["proposed"] == "c-2"
    assert dataset[len(split) - 1]["proposed"] is None
    assert (np.asarray(row["image"]) == split.image(4)).all()


def test_a_proposal_that_was_taken_out_of_the_table_is_none(encoder, tmp_path):
    images = encoder.dataset.split("test")
    cells = ["c-1", "", "NaN", "null"]
    rows = [f"{name},{cell}" for name, cell in zip(images.names, cells, strict=False)]
    (tmp_path / "cluster.csv").write_text("\n".join(["path,proposed", *rows]))
    assert proposed_labels(images, tmp_path / "cluster.csv")[:4] == ["c-1", None, None, None]


class FakeSample(dict):
    def __init__(self, filepath, tags):
        super().__init__(filepath=filepath, tags=tags)


class FakeDataset(list):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def add_samples(self, samples):
        self.extend(samples)


@pytest.fixture
def fiftyone(monkeypatch):
    """A stand-in with the few names that are used: FiftyOne itself brings a database server."""
    fake = types.ModuleType("fiftyone")
    fake.Sample, fake.Dataset, fake.Classification = FakeSample, FakeDataset, lambda label: {"label": label}
    monkeypatch.setitem(sys.modules, "fiftyone", fake)


def test_fiftyone_gets_files_with_labels_embeddings_and_proposals(encoder, proposals, fiftyone, tmp_path):
    from PIL import Image

    with pytest.raises(InputError, match=r"media: is required.*pass a folder"):
        to_fiftyone(encoder, "test")
    dataset = to_fiftyone(encoder, "test", media=tmp_path / "media", proposals=proposals, name="tiny")
    assert dataset.name == "tiny"
    assert len(dataset) == 48
    sample = dataset[4]
    assert (np.asarray(Image.open(sample["filepath"])) == encoder.dataset.split("test").image(4)).all()
    assert np.allclose(sample["embedding"], encoder.features("test").numpy()[4])
    assert sample["proposed"] == {"label": "c-2"}
    assert "proposed" not in dataset[47]


def test_what_is_missing_is_told(encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(InputError, match=r"coarsecon\[fiftyone\]"):
        to_fiftyone(encoder)
    (tmp_path / "other.csv").write_text("path,proposed\nelsewhere.jpg,x-1\n")
    with pytest.raises(InputError, match="no image of the split test"):
        to_datasets(encoder, "test", proposals=tmp_path / "other.csv")
