"""Evaluations of other packages: what is checked of their class and of what they return, and what is written."""

import json
import shutil
import sys

import pytest

from coarsecon import evaluate as evaluate_run
from coarsecon import registry
from coarsecon.errors import CoarseconError
from coarsecon.pictures.origin import read_origin

HEAD = """
import torch
from PIL import Image
from matplotlib.figure import Figure
from pydantic import BaseModel
from coarsecon.evaluation import Evaluation, EvaluationConfig, FileFormat, Metric, Result

METRICS = [Metric("a", 0.5)]
PNG = [FileFormat("png", "Picture.")]

def plot():
    figure = Figure()
    figure.add_subplot().plot([0, 1])
    return figure
"""

EVALUATION = """
class Mine(Evaluation):
    def evaluate(self, run, config):
        return {}
"""


@pytest.fixture
def install(install_plugin, monkeypatch):
    def install(source: str, name: str) -> None:
        module = install_plugin(f"plugin-{name}", name, HEAD + source, group=registry.EVALUATIONS)
        monkeypatch.delitem(sys.modules, module, raising=False)  # of the previous test

    return install


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("class Mine: pass", "is not a subclass of coarsecon.evaluation.Evaluation"),
        ("Mine = 3", "is not a subclass of coarsecon.evaluation.Evaluation"),
        ("class Mine(Evaluation): pass", "does not define evaluate"),
        (EVALUATION.format("") + "    class Config(BaseModel): pass", "Config that is not a subclass"),
        (EVALUATION.format("") + "    formats = ['png']", "formats that are not a list of"),
        (EVALUATION.format("") + "    class Config(EvaluationConfig): run: int = 0", "the setting 'run'"),
        (
            EVALUATION.format("") + "    formats = PNG\n    class Config(EvaluationConfig): png: int = 0",
            "setting 'png'",
        ),
    ],
)
def test_a_class_that_is_no_evaluation_is_an_error_that_names_its_package(
    install, coarsecon, tiny_run, source, problem
):
    install(source, "odd")
    for words in (["odd", "--help"], ["odd", tiny_run]):
        done = coarsecon(*words)
        assert done.code == 1
        assert "evaluation 'odd' from plugin-odd 1.0: plugin_odd:Mine " in done.err
        assert problem in done.err
        assert "fix or uninstall the package" in done.err
        assert "Traceback" not in done.err
    assert coarsecon("recipes", "ls").code == 0


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("{}", "evaluate returned dict, not a Result"),
        ("None", "evaluate returned NoneType, not a Result"),
        ("Result([('a', 0.5)], 'test')", "metrics contain tuple"),
        ("Result([Metric('a', torch.tensor(0.5))], 'test')", "metric 'a' has a number of type Tensor; convert it with"),
        ("Result([Metric('a', 0.5, kind='percent')], 'test')", "metric 'a' has the kind 'percent', not one of share,"),
        ("Result([*METRICS, *METRICS], 'test')", "several metrics 'a'"),
        ("Result(METRICS, 'test', values=[1])", "values are of type list"),
        ("Result(METRICS, 'test', figure=plot())", "the class lists no formats"),
    ],
)
def test_a_result_that_cannot_be_stored_is_an_error_before_anything_is_written(
    install, coarsecon, tiny_run, returned, problem
):
    install(EVALUATION.format(returned), "wrong")
    done = coarsecon("wrong", tiny_run)
    assert (done.code, done.out) == (1, "")
    assert "evaluation 'wrong' from plugin-wrong 1.0: " in done.err
    assert problem in done.err
    with pytest.raises(CoarseconError, match=problem):
        evaluate_run(tiny_run, "wrong")
    assert not (tiny_run / "results" / "wrong.json").exists()


def test_an_exception_inside_an_evaluation_names_it_and_keeps_its_type(install, coarsecon, tiny_run):
    install(EVALUATION.format("1 / 0"), "failing")
    with pytest.raises(ZeroDivisionError) as raised:
        evaluate_run(tiny_run, "failing")
    assert raised.value.__notes__ == ["in evaluation 'failing' from plugin-failing 1.0"]
    done = coarsecon("failing", tiny_run)
    assert done.code == 1
    assert "ZeroDivisionError: division by zero (in evaluation 'failing' from plugin-failing 1.0; rerun" in done.err


@pytest.mark.parametrize("figure", ["plot()", "Image.new('RGB', (4, 4))"])
def test_a_figure_of_matplotlib_or_pillow_is_written_with_its_origin(install, coarsecon, tiny_run, tmp_path, figure):
    returned = f"Result((run.features('test'), METRICS)[1], 'test', figure={figure})"
    install(EVALUATION.format(returned) + "    formats = PNG", "drawn")
    done = coarsecon("drawn", tiny_run)
    assert done.code == 0, done.err
    file = tiny_run / "figures" / "drawn.png"
    assert read_origin(file) == json.loads((tiny_run / "results" / "drawn.json").read_text())["computed_from"]
    file.unlink()
    given = tmp_path / "elsewhere"
    assert coarsecon("drawn", tiny_run, "--png", given).code == 0
    assert given.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("figure", "suffix", "problem"),
    [
        ("None", "png", "no png can be written: it has no figure"),
        ("Image.new('RGB', (4, 4))", "svg", "no svg can be written: its figure is of type Image"),
        ("object()", "png", "figure of type object: cannot be written; return a matplotlib figure"),
    ],
)
def test_a_file_that_was_asked_for_is_written_or_an_error(
    install, coarsecon, tiny_run, tmp_path, figure, suffix, problem
):
    source = EVALUATION.format(f"Result(METRICS, 'test', figure={figure})")
    install(f"{source}    formats = [FileFormat({suffix!r}, 'Picture.')]", "asked")
    done = coarsecon("asked", tiny_run, f"--{suffix}", tmp_path / "given")
    assert done.code == 1
    assert problem in done.err
    assert "wrote" not in done.err
    assert not (tiny_run / "results" / "asked.json").exists()


def test_a_report_survives_outcomes_that_fail(install, coarsecon, tiny_run, tmp_path):
    returned = "Result((run.features('test'), METRICS)[1], 'test')"
    install(EVALUATION.format(returned) + "    def outcomes(self, run, record): 1 / 0", "broken")
    other = tmp_path / "other"
    shutil.copytree(tiny_run, other)
    for run in (tiny_run, other):
        assert coarsecon("broken", run).code == 0
    done = coarsecon("report", tiny_run, other, "--out", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert "broken: outcomes failed (ZeroDivisionError: division by zero)" in done.err


def test_a_result_without_a_split_is_printed_and_not_stored(install, coarsecon, tiny_run):
    install(EVALUATION.format("Result(METRICS)"), "unstored")
    done = coarsecon("unstored", tiny_run)
    assert done.code == 0, done.err
    assert "None" not in done.out
    assert not (tiny_run / "results" / "unstored.json").exists()
