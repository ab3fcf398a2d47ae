"""Evaluate a run by the name of an evaluation: store the result and draw its figures in the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coarsecon import registry
from coarsecon.errors import CoarseconError
from coarsecon.evaluation.base import Evaluation, EvaluationConfig, Result
from coarsecon.report.figures import writers
from coarsecon.run.facade import Run
from coarsecon.run.storing import store_result
from coarsecon.runtime.settings import validate


def load_evaluation(name: str) -> Evaluation:
    """Import the evaluation called `name`.

    Raises:
        InputError: There is none, or two distributions claim the name.
        CoarseconError: It cannot be imported, or is no subclass of `Evaluation`.
    """
    entry = registry.find(registry.EVALUATIONS, name)
    loaded = entry.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Evaluation)):
        raise CoarseconError(
            f"evaluation {name} of {entry.distribution}", "is no subclass of coarsecon.evaluation.Evaluation"
        )
    return loaded()


def evaluate(run: Run, name: str, **settings: Any) -> Result:
    """Evaluate an opened run, and store the result and its figures: see `coarsecon.evaluate`."""
    evaluation = load_evaluation(name)
    config = validate(evaluation.Config, settings)
    result = evaluation.evaluate(run, config)
    store_evaluation(run, name, evaluation, config, result)
    return result


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
            if suffix in drawn:
                place = run.folder.root / (folders[suffix] or "figures") / f"{stem}.{suffix}"
                run.folder.store(place, drawn[suffix], run.reporter, given=given.get(suffix))
