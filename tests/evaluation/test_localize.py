"""Heat maps from Python: the values of the command, its picture in the run, and independence of the feature layer."""

import json
import subprocess
import sys

import pytest

from coarsecon.errors import InputError
from coarsecon.evaluation.localize import Localize
from coarsecon.report.evaluate import evaluate
from coarsecon.run.facade import Run
from coarsecon.run.spec import Runtime
from coarsecon.runtime.settings import validate


@pytest.mark.parametrize("neighbors", [0, 2])
def test_python_gives_the_values_and_the_picture_of_the_command(coarsecon, tiny_run, neighbors):
    words = ("--limit", 3, "--neighbors", neighbors, "--device", "cpu", "--workers", 0, "--json", "-")
    done = coarsecon("localize", tiny_run, *words)
    assert done.code == 0, done.err
    picture = tiny_run / "figures" / "localize.png"
    by_command = picture.read_bytes()
    picture.unlink()
    run = Run(tiny_run, runtime=Runtime("cpu", workers=0))
    result = evaluate(run, "localize", limit=3, neighbors=neighbors)
    assert result.to_json() == json.loads(done.out)
    assert len(result.to_json()) == 3 * (1 + neighbors)
    assert picture.read_bytes() == by_command


def test_the_layer_of_the_heat_does_not_change_the_neighbors(coarsecon, tiny_run, tmp_path):
    words = ("localize", tiny_run, "--limit", 4, "--neighbors", 3, "--png", tmp_path / "p.png", "--json", "-")
    found = [json.loads(coarsecon(*words, "--layer", layer).out) for layer in ("projector", "backbone")]
    images = [[entry["image"] for entry in entries] for entries in found]
    assert images[0] == images[1]
    assert found[0] != found[1]


@pytest.mark.parametrize(("settings", "subject"), [({"limit": 0}, "limit"), ({"layer": "head"}, "layer")])
def test_settings_that_do_not_fit_are_named(settings, subject):
    with pytest.raises(InputError) as error:
        validate(Localize.Config, settings)
    assert error.value.subject == subject


def test_evaluations_are_imported_without_torch():
    code = "import sys\nfrom coarsecon import registry\n"
    code += "assert all(each.load() for each in registry.entries(registry.EVALUATIONS))\n"
    code += "assert not {'torch', 'timm', 'sklearn'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
