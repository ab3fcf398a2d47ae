"""The interface of evaluations: one class with a pydantic `Config` and one verb."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from coarsecon.metrics.metric import Metric as Metric
from coarsecon.metrics.metric import percent as percent

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.run.facade import Run


ALL_LEVELS = "all"
"""Setting `labels` for every level that the dataset was prepared with."""


class EvaluationConfig(BaseModel):
    """Base of the settings of evaluations. The `description` of a field is its help text on the command line.

    A field whose `json_schema_extra` holds `"display": True` changes only what is shown: it is not part of the name of
    the stored result. One with `"argument": True` is a positional argument.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def changed(self) -> dict[str, Any]:
        """Return the settings that are not the defaults and change the result; several values as "5,20"."""
        found = {}
        for name, info in type(self).model_fields.items():
            value, extra = getattr(self, name), info.json_schema_extra
            if value != info.default and not (isinstance(extra, dict) and extra.get("display")):
                found[name] = ",".join(map(str, value)) if isinstance(value, tuple) else value
        return found


class LevelConfig(EvaluationConfig):
    """Settings of evaluations that measure one label level or all."""

    labels: str = Field(
        ALL_LEVELS,
        description="Label level to evaluate, such as a label column. all: the levels that the dataset was prepared "
        "with.",
        json_schema_extra={"metavar": "LEVEL"},
    )

    @property
    def level(self) -> str | None:
        """The label level to evaluate; None for all."""
        return None if self.labels == ALL_LEVELS else self.labels


def evaluated_level(record: Mapping[str, Any]) -> str | None:
    """Return the label level of a stored result; None for all."""
    config = record.get("config")
    level = config.get("labels", ALL_LEVELS) if isinstance(config, dict) else ALL_LEVELS
    return None if level == ALL_LEVELS else str(level)


@dataclass(frozen=True)
class Table:
    """A table to print: a heading per column, and cells of text. Columns after the first hold numbers or text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True


@dataclass(frozen=True)
class FileFormat:
    """A file that an evaluation can write: its suffix, and where it goes unless a path is given.

    `folder` is the folder of the run, None where the file is only written on request. `needs` is the setting without
    which there is nothing to write.
    """

    suffix: str
    help: str
    folder: Literal["figures", "results"] | None = "figures"
    needs: str = ""


@dataclass(frozen=True)
class Result:
    """Result of an evaluation.

    Args:
        metrics: The numbers, in the order of display.
        split: The split that was evaluated; None where nothing is stored in the run.
        values: Further entries of the JSON, or all of it as a list. Without any, the JSON is made of the metrics.
        stored: Entries that only the file in the run has, such as the accuracy of each episode.
        figure: What the files of the evaluation's `formats` show: see `coarsecon.report.figures`.
        name: The name of the stored result where it is not that of the evaluation.
        default_split: The split that needs no mention in the name of the stored result.
        others: Other runs whose encoders were used.
        run: The run with the features that were used, where they are not those that were asked for.
        tables: Tables to print; by default the metrics, a column per group.
    """

    metrics: Sequence[Metric] = ()
    split: str | None = None
    values: Any = None
    stored: Mapping[str, Any] = field(default_factory=dict)
    figure: Any = None
    name: str = ""
    default_split: str | None = None
    others: "tuple[Run, ...]" = ()
    run: "Run | None" = None
    tables: Sequence[Table] | None = None

    def to_json(self) -> Any:
        """Return the JSON of the result: `values`, or else the metrics by group."""
        return metrics_json(self.metrics) if self.values is None else self.values

    def __getitem__(self, name: str) -> float:
        """Return the value of the metric called `name`, or `group.name`.

        Raises:
            KeyError: There is no such metric, or several groups have it.
        """
        found = [metric for metric in self.metrics if name in (metric.name, f"{metric.group}.{metric.name}")]
        if len(found) != 1:
            raise KeyError(name)
        return found[0].value


def metrics_json(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return metrics as nested JSON: `{"fine": {"recall@1": 0.5, "queries": 100}}`."""
    found: dict[str, Any] = {}
    for metric in metrics:
        part = found.setdefault(metric.group, {}) if metric.group else found
        part[metric.name] = metric.value
        if metric.interval is not None:
            part[f"{metric.name}_ci95"] = metric.interval
        if metric.count is not None:
            part.setdefault("queries" if metric.kind == "share" else "count", metric.count)
    return found


def metrics_table(title: str, metrics: Sequence[Metric]) -> Table:
    """Return a table with a row per metric and a column per group; fractions are in percent."""
    groups, names = (list(dict.fromkeys(values)) for values in zip(*((m.group, m.name) for m in metrics), strict=True))
    cells = {(metric.group, metric.name): _cell(metric) for metric in metrics}
    rows = [[name, *(cells.get((group, name), "") for group in groups)] for name in names]
    return Table(title, ["", *(group or "value" for group in groups)], rows)


def _cell(metric: Metric) -> str:
    text = percent(metric.value) if metric.is_fraction else f"{metric.value:.4g}"
    if metric.interval is None:
        return text
    return f"{text} ± {metric.interval * (100 if metric.is_fraction else 1):.2g}"


class Evaluation(ABC):
    """Base class of every evaluation, built-in or third-party.

    The first line of the docstring is the help text of its command. The module is imported to build the options of the
    command, so import torch and other large packages inside `evaluate`.
    """

    class Config(EvaluationConfig):
        """The settings of the evaluation: each field becomes an option of its command."""

    formats: ClassVar[Sequence[FileFormat]] = ()
    """The files it can write, drawn from `Result.figure`."""

    only_named_files: ClassVar[bool] = False
    """If true, naming one file on the command line means that the others are not wanted."""

    shares_ranks: ClassVar[bool] = True
    """If true, several ranks may run it and extract features together; else it runs in one process only."""

    features_options: ClassVar[Sequence[str]] = ("checkpoint", "layer", "flip")
    """The options on the command line that choose features of the run."""

    @abstractmethod
    def evaluate(self, run: "Run", config: Any) -> Result:
        """Evaluate a run with the settings of `Config`.

        Raises:
            InputError: The run, the dataset or the settings do not allow it.
        """

    def outcomes(self, run: "Run", record: Mapping[str, Any]) -> "Mapping[tuple[str, str], Tensor] | None":
        """Return how each query of a stored result fared, float [Q] by (group, metric), from cached features.

        With it, `report` compares two runs query by query. None: the intervals of the metrics are compared.
        """
        return None
