"""`coarsecon doctor`: tells what is installed, and fails where a step or a search does not work."""

import json

import pytest
import torch

from coarsecon.methods.maskcon import MaskCon
from coarsecon.report import installation as doctor
from coarsecon.search import exact


def test_a_sound_installation_passes(coarsecon):
    done = coarsecon("doctor", "--device", "cpu", "--json", "-")
    told = json.loads(done.out)
    assert done.code == 0, done.err
    assert told["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert told["machine"]["device"] == "cpu"
    assert 0 < told["machine"]["memory"]["available"] <= told["machine"]["memory"]["total"]
    assert [check["passed"] for check in told["checks"]] == [True, True]
    assert sum(check["seconds"] for check in told["checks"]) < 60
    assert {"hf", "maps", "umap"} <= {extra["name"] for extra in told["extras"]}
    assert "dev" not in {extra["name"] for extra in told["extras"]}


def test_a_missing_extra_comes_with_the_command_that_adds_it(coarsecon, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(doctor, "requires", lambda _: ["torch>=2", "no-such-thing>=1; extra == 'sky'"])
    monkeypatch.setattr(doctor, "self_test", lambda _: [])
    done = coarsecon("doctor", "--device", "cpu")
    assert done.code == 0
    assert "without no-such-thing" in done.out
    assert "pip install 'coarsecon[sky]'" in done.out


def test_a_package_older_than_required_fails(coarsecon, monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda _: ["timm>=1.0.31", "numpy>=1; extra == 'sky'", "torch>=2"])
    monkeypatch.setattr(doctor, "installed", lambda package: {"timm": "1.0.22", "numpy": "0.9"}.get(package, "2.11.0"))
    monkeypatch.setattr(doctor, "self_test", lambda _: [])
    done = coarsecon("doctor", "--device", "cpu")
    assert done.code == 1
    assert "timm 1.0.22 is installed, but timm>=1.0.31 is required. Upgrade with pip install -U coarsecon" in done.err


def test_a_training_step_that_gives_no_number_fails(coarsecon, monkeypatch):
    step = MaskCon.step
    monkeypatch.setattr(MaskCon, "step", lambda *given: {"loss": step(*given)["loss"] * float("nan")})
    done = coarsecon("doctor", "--device", "cpu", "--json", "-")
    assert done.code == 1
    assert "training step: CoarseconError: the loss is nan" in done.err
    assert [check["passed"] for check in json.loads(done.out)["checks"]] == [False, True]


def test_a_training_step_that_leaves_the_encoder_alone_fails(monkeypatch):
    step = MaskCon.step
    monkeypatch.setattr(MaskCon, "step", lambda *given: {"loss": step(*given)["loss"].detach().requires_grad_()})
    with pytest.raises(doctor.CoarseconError, match="no finite gradient"):
        doctor.training_step(torch.device("cpu"))


@pytest.mark.parametrize("wrong", ["scores", "indices"])
def test_a_search_that_finds_others_fails(monkeypatch, wrong):
    def search(queries, gallery, k):
        scores, indices = (queries @ gallery.T).topk(k)
        return (scores + 0.01, indices) if wrong == "scores" else (scores, indices.roll(1, 0))

    assert "agree" in doctor.search_index(torch.device("cpu"))
    monkeypatch.setattr(exact, "_search", search)
    with pytest.raises(doctor.CoarseconError, match="differ"):
        doctor.search_index(torch.device("cpu"))


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    (tmp_path / "limit").write_text("1000000\n")
    monkeypatch.setattr(doctor, "CGROUP_LIMIT", tmp_path / "limit")
    assert doctor.memory() == {"total": 1_000_000, "available": 1_000_000}
    (tmp_path / "limit").write_text("max\n")
    assert doctor.memory()["total"] > 1_000_000
