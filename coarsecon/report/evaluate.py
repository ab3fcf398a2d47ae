"""Evaluate a run by the name of an evaluation: store the result and draw its figures in the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from coarsecon import registry
from coarsecon.errors import CoarseconError
from coarsecon.evaluation.base import Evaluation, EvaluationConfig, FileFormat, Metric, Result
from coarsecon.metrics.metric import Kind
from coarsecon.report.figures import writers
from coarsecon.run.facade import Run
from coarsecon.run.storing import store_result
from coarsecon.runtime.settings import validate

RESERVED = ("run", "json")
"""Names of the run and of the JSON file on the command line, which no setting may have."""


def load_evaluation(name: str) -> Evaluation:
    """Import the evaluation called `name`.

    Raises:
        InputError: There is none, or two distributions claim the name.
        CoarseconError: It cannot be imported, or is no complete subclass of `Evaluation`.
    """
    loaded = registry.load_class(registry.EVALUATIONS, name, Evaluation)
    if problem := _class_problem(loaded):
        entry = registry.find(registry.EVALUATIONS, name)
        raise CoarseconError(entry.subject, f"{entry.value} {problem}", "fix or uninstall the package")
    evaluation: Evaluation = loaded()
    return evaluation


def _class_problem(loaded: type[Evaluation]) -> str:
    """Return why a class cannot be used as an evaluation, or an empty string."""
    if not (isinstance(loaded.Config, type) and issubclass(loaded.Config, EvaluationConfig)):
        return "has a Config that is not a subclass of coarsecon.evaluation.EvaluationConfig"
    if not all(isinstance(each, FileFormat) for each in loaded.formats):
        return "has formats that are not a list of coarsecon.evaluation.FileFormat"
    taken = {*RESERVED, *(each.suffix for each in loaded.formats)} & loaded.Config.model_fields.keys()
    return f"has the setting {min(taken)!r}, whose name is reserved" if taken else ""


def evaluate(run: Run, name: str, **settings: Any) -> Result:
    """Evaluate an opened run, and store the result and its figures: see `coarsecon.evaluate`."""
    evaluation = load_evaluation(name)
    config = validate(evaluation.Config, settings)
    result = compute(run, name, evaluation, config)
    store_evaluation(run, name, evaluation, config, result)
    return result


def compute(run: Run, name: str, evaluation: Evaluation, config: EvaluationConfig) -> Result:
    """Call an evaluation, and check what it returns; nothing is stored.

    Raises:
        InputError: The run, the dataset or the settings do not allow it.
        CoarseconError: What it returns is no valid `Result`.
        Exception: What the evaluation raises, with a note that names it.
    """
    try:
        result = evaluation.evaluate(run, config)
    except CoarseconError:
        raise
    except Exception as error:
        error.add_note(f"in {registry.find(registry.EVALUATIONS, name).subject}")
        raise
    if problem := _result_problem(evaluation, result):
        subject = registry.find(registry.EVALUATIONS, name).subject
        raise CoarseconError(subject, problem, "see Result in coarsecon.evaluation")
    return result


def _result_problem(evaluation: Evaluation, result: Any) -> str:
    """Return why a result cannot be stored, or an empty string."""
    if not isinstance(result, Result):
        return f"evaluate returned {type(result).__name__}, not a Result"
    for metric in result.metrics:
        if not isinstance(metric, Metric):
            return f"metrics contain {type(metric).__name__}, not only Metric"
        for number in (metric.value, metric.interval or 0, metric.count or 0):
            if not isinstance(number, int | float):
                return f"metric {metric.name!r} has a number of type {type(number).__name__}; convert it with float()"
        if metric.kind not in get_args(Kind):
            return f"metric {metric.name!r} has the kind {metric.kind!r}, not one of {', '.join(get_args(Kind))}"
    names = [(metric.group, metric.name) for metric in result.metrics]
    if repeated := [name for group, name in names if names.count((group, name)) > 1]:
        return f"there are several metrics {repeated[0]!r} in the same group"
    if result.split is not None and not isinstance(result.to_json(), Mapping):
        return f"values are of type {type(result.values).__name__}; those of a stored result are a dictionary"
    if result.figure is not None and not evaluation.formats:
        return "there is a figure, but the class lists no formats to write it in"
    return ""


def store_evaluation(
    run: Run,
    name: str,
    evaluation: Evaluation,
    config: EvaluationConfig,
    result: Result,
    files: Mapping[str, Path] | None = None,
) -> None:
    """Store a result in the run folder and draw its figures.

    Args:
        run: The run that was evaluated.
        name: The name of the evaluation.
        evaluation: The evaluation, which says what files it writes.
        config: The settings that were used.
        result: What it found.
        files: Paths, by suffix, of files to write elsewhere than in the run folder.

    Raises:
        CoarseconError: The figure cannot be written in a format that was asked for.
    """
    given, stem, run = files or {}, result.name or name, result.run or run
    folders = {each.suffix: each.folder for each in evaluation.formats}
    with run.folder.storing_together(run.reporter):
        if result.split is not None:
            record = {**result.to_json(), **result.stored, "evaluation": name, "config": config.model_dump(mode="json")}
            record["metrics"] = [metric.to_json() for metric in result.metrics]
            stem = store_result(
                run, stem, result.split, record,
                default_split=result.default_split, options=config.changed(), others=result.others,
            ).stem  # fmt: skip
        is_default = not (evaluation.only_named_files and given)
        wanted = [suffix for suffix, folder in folders.items() if suffix in given or (folder and is_default)]
        drawn = writers(result.figure, run.origin(*result.others)) if wanted and result.figure is not None else {}
        for suffix in wanted:
            if suffix not in drawn and (suffix in given or result.figure is not None):
                figure = type(result.figure).__name__
                reason = "it has no figure" if result.figure is None else f"its figure is of type {figure}"
                raise CoarseconError(f"evaluation {name!r}", f"no {suffix} can be written: {reason}")
        for suffix in wanted:
            if suffix in drawn:
                place = run.folder.root / (folders[suffix] or "figures") / f"{stem}.{suffix}"
                run.folder.store(place, drawn[suffix], run.reporter, given=given.get(suffix))
