"""`coarsecon knn`: JSON by the contract, every k and temperature asked for, and wrong input."""

import json

import pytest

from coarsecon.data.prepared.store import open_dataset
from coarsecon.evaluation import knn_predict
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import open_run


def test_metrics_follow_the_contract(coarsecon, tiny_run, tmp_path):
    path = tmp_path / "knn.json"
    done = coarsecon("knn", tiny_run, "--json", path, "--device", "cpu")
    assert done.code == 0, done.err
    assert "k 200, t 0.1" in done.out
    metrics = json.loads(path.read_text())
    assert list(metrics) == ["fine", "coarse"]
    for level, classes in (("fine", 16), ("coarse", 4)):
        values = metrics[level]
        assert (values["queries"], values["classes"]) == (48, classes)
        assert (values["k"], values["t"]) == (200, 0.1)
        assert [(cell["k"], cell["t"]) for cell in values["grid"]] == [(20, 0.1), (200, 0.1)]
        assert values["top1"] == values["grid"][1]["top1"]
    saved = json.loads((tiny_run / "results" / "knn.json").read_text())
    assert (saved["split"], saved["checkpoint"]) == ("test", "last")
    assert saved["coarse"] == metrics["coarse"]


def test_the_first_pair_leads_where_the_papers_is_not_asked_for(coarsecon, tiny_run):
    done = coarsecon("knn", tiny_run, "--k", "5,1", "--t", "0.07,1", "--encoder", "best", "--json", "-")
    fine = json.loads(done.out)["fine"]
    assert (fine["k"], fine["t"]) == (5, 0.07)
    assert [(cell["k"], cell["t"]) for cell in fine["grid"]] == [(5, 0.07), (5, 1), (1, 0.07), (1, 1)]


def test_so_many_votes_that_nearness_hardly_counts_are_told_once(coarsecon, tiny_run):
    reported = coarsecon("knn", tiny_run, "--k", "5,60,96", "--json", "-").err
    assert reported.count("k=96: train has 96 labeled images") == 1
    assert "every prediction averages over half of them or more" in reported
    assert "--k" not in coarsecon("knn", tiny_run, "--k", "5,48", "--json", "-").err


def test_the_bank_is_the_training_split(coarsecon, tiny_run, tiny_data):
    dataset = open_dataset(tiny_data)
    bank, queries = (FeatureStore(open_run(tiny_run)).split(dataset, name) for name in ("train", "test"))
    truth = dataset.split("test").labels["coarse"]
    predictions = knn_predict(bank, dataset.split("train").labels["coarse"], queries, k=3)
    found = json.loads(coarsecon("knn", tiny_run, "--k", "3", "--json", "-").out)["coarse"]["top1"]
    assert found == pytest.approx((predictions == truth).double().mean().item())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--k", "0"], "--k: 0"),
        (["--k", "5,many"], "--k: 5,many"),
        (["--t", "-1"], "--t: -1"),
        (["--t", "nan"], "--t: nan"),
        (["--data", "nowhere"], "--data"),
    ],
)
def test_wrong_input_is_told(coarsecon, tiny_run, arguments, says):
    done = coarsecon("knn", tiny_run, *arguments)
    assert done.code == 2
    assert says in done.err
