"""The source, the exporter and the command, one after the other, through Python."""

import numpy as np
import pytest
from coarsecon_digits.command import nearest_classes

import coarsecon
from coarsecon.errors import InputError

TINY = {"name": "resnet18", "stem": "small", "args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    data = coarsecon.prepare("digits", folder / "data", test_fraction=0.25)
    assert {name: len(data.split(name)) for name in data.splits} == {"train": 1348, "test": 449}
    schedule = {"epochs": 1, "warmup_epochs": 0}
    return coarsecon.pretrain(
        folder / "data", method="supce", out=folder / "run", backbone=TINY, schedule=schedule,
        data={"size": 16, "limit": 64, "workers": 0}, run={"batch_size": 32, "monitor_every": 0, "device": "cpu"},
    )  # fmt: skip


def test_embeddings_are_exported_with_their_labels(run, tmp_path):
    from coarsecon_digits.exporter import Npz

    Npz().export(run, tmp_path, Npz.Config(split="test"))
    saved = np.load(tmp_path / "embeddings.npz")
    assert np.array_equal(saved["features"], run.features("test").numpy())
    assert np.array_equal(saved["fine_labels"] % 2, saved["coarse_labels"])


def test_each_class_is_printed_with_the_nearest_other_one(run, capsys):
    nearest_classes(run.folder.root)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(digit) for digit in range(10)]
    with pytest.raises(InputError, match="has no such labels; it has coarse, fine"):
        nearest_classes(run.folder.root, level="species")
