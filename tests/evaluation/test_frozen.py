"""The initial encoder of a run next to the trained one: values, differences and intervals over the same queries."""

import json

import pytest
import torch
from safetensors.torch import save_file
from tiny import TINY_BACKBONE, tiny_settings

from coarsecon.config import BackboneSettings
from coarsecon.evaluation.frozen import compare_queries, frozen_table, initial_run
from coarsecon.metrics.interval import paired_difference
from coarsecon.nn.backbone import create_backbone
from coarsecon.run.facade import Run
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

GROUPS = ("fine", "coarse", "fine_within_coarse")


@pytest.fixture(scope="module")
def root(tiny_data, tmp_path_factory):
    """A run that started from weights."""
    folder = tmp_path_factory.mktemp("frozen")
    torch.manual_seed(3)
    weights = folder / "weights.safetensors"
    save_file(create_backbone(BackboneSettings(**TINY_BACKBONE), 32).state_dict(), weights)
    settings = tiny_settings(tiny_data, backbone={"weights": str(weights)}, run={"precision": "float32"})
    return pretrain(build_run_spec(settings), folder / "run").root


def test_queries_that_count_are_compared_pair_by_pair():
    before = torch.tensor([1.0, 0, 0, 0, torch.nan, 1])
    after = torch.tensor([1.0, 1, 1, 0, torch.nan, 1])
    found = compare_queries(
        {"fine": {"recall@1": before}}, {"fine": {"recall@1": after, "precision@1": after}}, ["fine"]
    )
    interval = list(paired_difference([0, 1, 1, 0, 0]))
    assert found == {"fine": {"recall@1": {"value": 0.4, "difference": pytest.approx(0.4), "interval": interval}}}


def test_a_metric_without_queries_has_no_interval():
    nothing = {"fine": {"recall@1": torch.full((3,), torch.nan)}}
    found = compare_queries(nothing, nothing, ["fine"])
    assert found["fine"]["recall@1"]["interval"] is None
    assert frozen_table(found, {"fine": {"recall@1": 0.0}}, "best").rows[0][-1] == ""


def test_retrieve_shows_the_frozen_encoder_next_to_the_trained_one(coarsecon, root, tmp_path):
    with_it, without = tmp_path / "with.json", tmp_path / "without.json"
    done = coarsecon("retrieve", root, "--device", "cpu", "--json", with_it)
    assert done.code == 0, done.err
    assert "Frozen and trained encoder" in done.out
    assert coarsecon("retrieve", root, "--device", "cpu", "--no-frozen", "--json", without).code == 0
    trained = json.loads(with_it.read_text())
    frozen = trained.pop("frozen")
    assert trained == json.loads(without.read_text())
    initial = coarsecon("retrieve", root, "--device", "cpu", "--checkpoint", "initial", "--json", "-")
    initial = json.loads(initial.out)
    assert "frozen" not in initial
    assert set(frozen) == set(GROUPS)
    for group in GROUPS:
        for name in ("recall@1", "recall@10", "map@r"):
            found = frozen[group][name]
            assert found["value"] == pytest.approx(initial[group][name])
            assert found["difference"] == pytest.approx(trained[group][name] - initial[group][name])
            assert found["interval"][0] <= found["difference"] <= found["interval"][1]


def test_the_stored_result_has_one_name_with_and_without_the_comparison(coarsecon, root):
    for option in ("--frozen", "--no-frozen"):
        assert coarsecon("retrieve", root, "--device", "cpu", option).code == 0
        stored = json.loads((root / "results" / "retrieve.json").read_text())
        assert ("frozen" in stored) == (option == "--frozen")
        encoders = [(entry["run"], entry["checkpoint"]) for entry in stored["computed_from"]["encoders"]]
        assert encoders == [(".", "last"), *[(".", "initial")] * (option == "--frozen")]


def test_only_runs_that_keep_another_initial_encoder_are_compared(root, tiny_run):
    assert initial_run(Run(tiny_run)) is None
    run = Run(root)
    assert initial_run(run.with_features(checkpoint="initial")) is None
    assert initial_run(run.with_features(layer="projector", flip=True)).spec == Run(root).with_features(
        checkpoint="initial", flip=True
    ).spec  # fmt: skip


def test_the_comparison_covers_another_gallery(coarsecon, root):
    done = coarsecon("retrieve", root, "--device", "cpu", "--gallery-split", "train", "--json", "-")
    assert done.code == 0, done.err
    assert set(json.loads(done.out)["frozen"]) == set(GROUPS)


def test_report_shows_the_frozen_encoder_and_epoch_0(coarsecon, root, tmp_path):
    assert coarsecon("retrieve", root, "--device", "cpu").code == 0
    page = tmp_path / "report.html"
    assert coarsecon("report", root, "--out", page).code == 0
    html = page.read_text()
    assert "<h2>Frozen and trained</h2>" in html
    assert "<dt>before training</dt>" in html
    assert "monitored fine within coarse recall@1" in html


def test_report_of_a_run_from_random_weights_has_no_such_section(coarsecon, tiny_run, tmp_path):
    page = tmp_path / "report.html"
    assert coarsecon("report", tiny_run, "--out", page).code == 0
    assert "Frozen and trained" not in page.read_text()
