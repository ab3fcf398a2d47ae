"""Classify held-out images by a vote of their nearest training images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from coarsecon.evaluation.base import Evaluation, LevelConfig, Metric, Result, Table, evaluated_level
from coarsecon.evaluation.held_out import FoldsConfig, HeldOut, held_out, scored

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.run.facade import Run


def _numbers(kind: type) -> BeforeValidator:
    """Parse "20,200" as the numbers in it, each once; all must be positive."""

    def parse(value: Any) -> Any:
        words = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        try:
            numbers = tuple(dict.fromkeys(kind(word) for word in words))
        except (TypeError, ValueError):
            raise ValueError(f"{value} is not a list of numbers; write them with commas, such as 20,200") from None
        if not all(0 < number < float("inf") for number in numbers):
            raise ValueError(f"{value} has a number that is not above 0")
        return numbers

    return BeforeValidator(parse)


class KNN(Evaluation):
    """Top-1 accuracy of a weighted vote of the nearest training images, at each label level."""

    class Config(FoldsConfig, LevelConfig):
        """Settings of `knn`."""

        k: Annotated[tuple[int, ...], _numbers(int)] = Field(
            (20, 200), description="Neighbors that vote; several with commas.", json_schema_extra={"text": True}
        )
        t: Annotated[tuple[float, ...], _numbers(float)] = Field(
            (0.1,), description="Temperatures of the votes; several with commas.", json_schema_extra={"text": True}
        )
        seed: int = Field(0, ge=0, description="Random seed of the folds.")

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Vote for every held-out image with the training images of each known label level."""
        from coarsecon.metrics.knn import knn_metrics

        split = run.default_split(config.level)
        labels = run.labels("train", split, level=config.level)
        bank, queries = (run.features(name).to(run.store.device) for name in ("train", split))
        run.continue_on_first_rank()
        run.report_unlabeled("train", split, levels=run.levels(config.level))
        chosen = held_out(run, config.folds, config.seed, config.level)
        voters = min(int((bank_labels >= 0).sum()) for bank_labels, _ in labels.values())
        if chosen.folds is not None:
            voters = voters * (chosen.count - 1) // chosen.count
        if 2 * max(config.k) > voters:
            run.reporter.info(
                f"k={max(config.k)}: train has {voters:,} labeled images, so every prediction averages over half of "
                f"them or more; try k={max(1, min(20, voters // 10))}"
            )
        values: dict[str, dict[str, Any]] = {}
        reporter = run.reporter if chosen.folds is None else None
        for level, columns in labels.items():
            found = [
                knn_metrics(bank, bank_labels, queries, query_labels, ks=config.k, ts=config.t, reporter=reporter)
                for bank_labels, query_labels in chosen.parts(level, *columns, reporter=run.reporter)
            ]
            values[level] = found[0] if chosen.folds is None else _over_folds(found, labels[level][1])
        metrics = [_metric(level, part) for level, part in values.items()]
        return Result(metrics, split, values, tables=[_table(values, chosen)])

    def outcomes(self, run: "Run", record: Mapping[str, Any]) -> "Mapping[tuple[str, str], Tensor] | None":
        """Return whether each query was classified correctly, where the features are cached."""
        from coarsecon.metrics.knn import knn_predict

        split = record["split"]
        if split == "train":
            return None  # cross-validated; folds are compared instead
        if not all(run.store.holds(run.dataset, name) for name in ("train", split)):
            return None
        found = {}
        for level, (bank_labels, labels) in run.labels("train", split, level=evaluated_level(record)).items():
            part = record.get(level)
            if isinstance(part, dict) and {"k", "t"} <= part.keys():
                queries, k, t = run.features(split)[labels >= 0], int(part["k"]), float(part["t"])
                predicted = knn_predict(run.features("train"), bank_labels, queries, k=k, t=t)
                found[level, "top1"] = (predicted == labels[labels >= 0]).float()
        return found


def _over_folds(found: list[dict[str, Any]], labels: "Tensor") -> dict[str, Any]:
    """Return the mean over folds of the leading pair (k, t) and of each pair of the grid."""
    from coarsecon.metrics.folds import fold_mean, over_folds

    classes = len(labels[labels >= 0].unique())
    means = over_folds(
        [{name: fold[name] for name in fold if name != "grid"} for fold in found], ["top1"], ("k", "t"), classes
    )
    cells = zip(*(fold["grid"] for fold in found), strict=True)
    grid = [(cell[0], fold_mean([each["top1"] for each in cell], means["queries"])) for cell in cells]
    return {**means, "grid": [{**cell, "top1": mean, "ci95": half} for cell, (mean, half) in grid]}


def _metric(level: str, part: Mapping[str, Any]) -> Metric:
    if "folds" in part:
        return Metric("top1", part["top1"], level, "score", part["ci95"], part["folds"])
    return Metric("top1", part["top1"], level, "share", count=part["queries"])


def _table(values: Mapping[str, Any], chosen: HeldOut) -> Table:
    grids = zip(*(part["grid"] for part in values.values()), strict=True)
    rows = [[f"k {row[0]['k']}, t {row[0]['t']:g}", *(scored(cell, "top1") for cell in row)] for row in grids]
    rows += [[name, *(f"{part[name]:,}" for part in values.values())] for name in ("queries", "classes")]
    return Table(f"kNN top-1 of {chosen.title}, in %", ["", *values], rows)
