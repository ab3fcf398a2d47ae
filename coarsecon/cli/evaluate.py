"""The command of an evaluation, built from its class: options, table, JSON and files."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from coarsecon.cli.console import closing, emit_json, table
from coarsecon.cli.generated import old_names, option_name, options_of, parse_options
from coarsecon.cli.options import COMMON, RunArgument
from coarsecon.cli.processes import single_process
from coarsecon.cli.ranks import shared_run
from coarsecon.errors import InputError
from coarsecon.evaluation.base import Evaluation, Result, metrics_table
from coarsecon.run.folder import open_run

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def command(name: str) -> Callable[..., None]:
    """Return the command of the evaluation called `name`, for Typer.

    Raises:
        CoarseconError: It cannot be imported.
    """
    from coarsecon.report.evaluate import load_evaluation

    evaluation = load_evaluation(name)

    def run_command(**given: Any) -> None:
        _evaluate(name, evaluation, given)

    run_command.__doc__ = inspect.getdoc(type(evaluation))
    run_command.__signature__ = inspect.Signature(parameters(evaluation))  # type: ignore[attr-defined]
    return run_command if evaluation.shares_ranks else single_process(run_command)


def parameters(evaluation: Evaluation) -> list[inspect.Parameter]:
    """Return the parameters of a command: the run, the settings of the evaluation, its files, and common options."""
    own = options_of(evaluation.Config)
    files = [
        inspect.Parameter(
            each.suffix, KEYWORD, default=None,
            annotation=Annotated[Path | None, typer.Option(option_name(each.suffix), help=each.help)],
        )
        for each in evaluation.formats
    ]  # fmt: skip
    names = {parameter.name for parameter in [*own, *files]}
    common = [
        inspect.Parameter(option, KEYWORD, default=default, annotation=annotation)
        for option, (annotation, default) in COMMON.items()
        if option not in names
        and (option not in ("checkpoint", "layer", "flip") or option in evaluation.features_options)
    ]
    run = inspect.Parameter("run", KEYWORD, annotation=RunArgument)
    return [run, *own, *files, *common]


def _evaluate(name: str, evaluation: Evaluation, given: dict[str, Any]) -> None:
    fields = evaluation.Config.model_fields.keys() | old_names(evaluation.Config).keys()
    config = parse_options(evaluation.Config, {key: given[key] for key in given.keys() & fields})
    _check_files(evaluation, config, given)
    folder, target = open_run(given["run"]), given["json"]
    files = {each.suffix: given[each.suffix] for each in evaluation.formats if given[each.suffix]}
    common = {option: given.get(option, default) for option, (_, default) in COMMON.items() if option not in fields}
    from coarsecon.report.evaluate import compute, store_evaluation

    with shared_run(folder, common) as run:
        result = compute(run, name, evaluation, config)
    if target:
        emit_json(result.to_json(), target)
    if target != "-":
        _print(name, result)
    (result.run or run).continue_on_first_rank()
    store_evaluation(run, name, evaluation, config, result, files)
    written = [*folder.stored, *files.values(), *([Path(target)] if target and target != "-" else [])]
    closing(list(dict.fromkeys(written)), ["coarsecon", "report", given["run"]] if result.split else [])


def _check_files(evaluation: Evaluation, config: BaseModel, given: Mapping[str, Any]) -> None:
    for each in evaluation.formats:
        if given[each.suffix] and each.needs and not getattr(config, each.needs):
            option = option_name(each.needs)
            raise InputError(option_name(each.suffix), f"is written only with {option}", f"pass {option} too")


def _print(name: str, result: Result) -> None:
    tables = result.tables
    if tables is None:
        title = f"{name} of {result.split}" if result.split else name
        tables = [metrics_table(title, result.metrics)] if result.metrics else []
    for each in tables:
        table(each.title, each.columns, each.rows, numbers=each.numbers)
