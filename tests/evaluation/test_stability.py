"""Criteria without fine labels, as a command and from Python, on images that have only coarse labels."""

import json
from dataclasses import replace

import pytest
import torch

from coarsecon.errors import InputError
from coarsecon.evaluation.stability import Stability, _two_views
from coarsecon.report.evaluate import evaluate
from coarsecon.run.facade import Run
from coarsecon.run.spec import Runtime

SMALL = {"images": 40, "repeats": 2}


def opened(folder, **runtime) -> Run:
    return Run(folder, runtime=replace(Runtime("cpu", workers=0), **runtime))


def test_python_gives_the_values_of_the_command_without_fine_labels(coarsecon, tiny_run):
    words = ("--images", 40, "--repeats", 2, "--device", "cpu", "--workers", 0, "--json", "-")
    done = coarsecon("stability", tiny_run, *words)
    assert done.code == 0, done.err
    result = evaluate(opened(tiny_run), "stability", **SMALL)
    assert result.to_json() == json.loads(done.out)
    assert result["chance_of_agreement"] == pytest.approx(4 / 40)
    assert result["chance_of_agreement"] < result["view_agreement"] <= 1
    assert -0.5 < result["cluster_stability"] < 1
    assert result.metrics[0].count == 40
    assert (tiny_run / "results" / "stability-images=40-repeats=2.json").is_file()


def test_views_of_an_image_differ_and_are_drawn_from_the_seed(tiny_run):
    run, chosen = opened(tiny_run), torch.arange(5)
    first, second = _two_views(run, Stability.Config(seed=3), chosen)
    assert not torch.allclose(first, second, atol=1e-3)
    again = _two_views(opened(tiny_run), Stability.Config(seed=3, images=1999), chosen)  # another file in the cache
    assert torch.equal(first, again[0])
    other, _ = _two_views(run, Stability.Config(seed=4), chosen)
    assert not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "problem"), [({"within": "genus"}, "no 'genus' labels"), ({"split": "val"}, "val")]
)
def test_unknown_levels_and_splits_are_errors(tiny_run, settings, problem):
    with pytest.raises(InputError, match=problem):
        evaluate(opened(tiny_run), "stability", **settings)
