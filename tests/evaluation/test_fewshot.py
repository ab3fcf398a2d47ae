"""Few-shot evaluation from Python: the numbers and files of the command, and settings that do not go together."""

import json

import pytest

from coarsecon.errors import InputError
from coarsecon.evaluation.fewshot import FewShot
from coarsecon.report.evaluate import evaluate
from coarsecon.run.facade import Run
from coarsecon.run.spec import Runtime
from coarsecon.runtime.settings import validate

pytest.importorskip("sklearn")


def test_python_gives_the_numbers_and_the_file_of_the_command(coarsecon, tiny_run):
    words = ("--shots", 1, "--queries", 1, "--episodes", 5, "--ways", "all", "--device", "cpu", "--workers", 0)
    done = coarsecon("fewshot", tiny_run, *words, "--json", "-")
    assert done.code == 0, done.err
    stored = tiny_run / "results" / "fewshot-ways=all-queries=1-episodes=5.json"
    by_command = stored.read_text()
    stored.unlink()
    run = Run(tiny_run, runtime=Runtime("cpu", workers=0))
    result = evaluate(run, "fewshot", shots=1, queries=1, episodes=5, ways="all")
    assert result.to_json() == json.loads(done.out)
    assert result["accuracy"] == json.loads(done.out)["accuracy"]
    assert stored.read_text() == by_command
    record = json.loads(by_command)
    (metric,) = record["metrics"]
    assert metric == {
        "name": "accuracy", "value": record["accuracy"], "group": "", "kind": "score", "interval": record["ci95"],
        "count": 5,
    }  # fmt: skip
    assert (record["evaluation"], record["config"]["ways"], record["checkpoint"]) == ("fewshot", "all", "last")


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({"combine": "concat"}, "run2"),
        ({"run2": "other"}, "combine"),
        ({"run2": "other", "combine": "ensemble", "classifier": "cosine"}, "combine"),
        ({"ways": 1}, "ways"),
        ({"ways": "many"}, "ways"),
        ({"episodes": 1}, "episodes"),
        ({"shot": 1}, "shot"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, subject):
    with pytest.raises(InputError) as error:
        validate(FewShot.Config, settings)
    assert error.value.subject == subject
    assert "--" not in str(error.value)
