"""Linear classifiers from Python: the numbers and files of the command, typed metrics, and settings that do not fit."""

import json

import pytest

from coarsecon.errors import InputError
from coarsecon.evaluation.linear import Linear
from coarsecon.report.evaluate import evaluate
from coarsecon.run.facade import Run
from coarsecon.run.spec import FeatureSpec, Runtime
from coarsecon.runtime.settings import validate


@pytest.fixture
def run(tiny_run):
    return Run(tiny_run, runtime=Runtime("cpu", workers=0))


@pytest.mark.parametrize(
    ("words", "settings", "name"),
    [
        (["--epochs", 3], {"epochs": 3}, "linear-epochs=3"),
        (
            ["--preset", "moco", "--lr", 2, "--epochs", 2, "--shots-per-class", 2, "--seed", 3],
            {"preset": "moco", "lr": 2, "epochs": 2, "shots_per_class": 2, "seed": 3},
            "linear-preset=moco-epochs=2-lr=2.0-shots_per_class=2-seed=3",
        ),
        (
            ["--finetune", "--epochs", 1, "--labels", "coarse"],
            {"finetune": True, "epochs": 1, "labels": "coarse"},
            "linear-finetune=True-labels=coarse-epochs=1",
        ),
    ],
)
def test_python_gives_the_numbers_and_the_file_of_the_command(coarsecon, tiny_run, run, words, settings, name):
    done = coarsecon("linear", tiny_run, *words, "--device", "cpu", "--workers", 0, "--json", "-")
    assert done.code == 0, done.err
    stored = tiny_run / "results" / f"{name}.json"
    by_command = stored.read_text()
    stored.unlink()
    result = evaluate(run, "linear", **settings)
    assert result.to_json() == json.loads(done.out)
    assert result["coarse.top1"] == json.loads(done.out)["coarse"]["top1"]
    assert stored.read_text() == by_command


def test_scores_are_fractions_of_queries_or_means_over_draws(run):
    shares = {metric.name: metric for metric in evaluate(run, "linear", epochs=1, labels="fine").metrics}
    assert list(shares) == ["top1", "top5", "held_out_top1"]
    assert (shares["top5"].kind, shares["top5"].count, shares["top5"].interval) == ("share", 48, None)
    result = evaluate(run, "linear", epochs=1, labels="fine", shots_per_class=1, preset="ascl", repeats=3)
    means = {metric.name: metric for metric in result.metrics}
    part = result.to_json()["fine"]
    assert (means["top1"].kind, means["top1"].count, means["top1"].interval) == ("score", 3, part["ci95"])
    assert means["top5"].interval == part["top5_ci95"]


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({"augment": True}, "augment"),
        ({"finetune": True, "preset": "moco"}, "finetune"),
        ({"backbone_lr": 0.1}, "backbone_lr"),
        ({"batch_size": 8}, "batch_size"),
        ({"lr": 1}, "lr"),
        ({"preset": "moco", "lr": float("inf")}, "lr"),
        ({"rate": 1}, "rate"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, subject):
    with pytest.raises(InputError) as error:
        validate(Linear.Config, settings)
    assert error.value.subject == subject
    assert "--" not in str(error.value)


def test_random_views_need_the_backbone(tiny_run):
    projected = Run(tiny_run, features=FeatureSpec(layer="projector"), runtime=Runtime("cpu", workers=0))
    with pytest.raises(InputError, match="finetune: trains on the output of the backbone"):
        evaluate(projected, "linear", finetune=True)
