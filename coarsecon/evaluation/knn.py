"""Classify held-out images by a vote of their nearest training images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from coarsecon.evaluation.base import Evaluation, EvaluationConfig, Metric, Result, Table, percent

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
    """Top-1 accuracy of a weighted vote of the nearest training images, on fine and coarse labels."""

    class Config(EvaluationConfig):
        """Settings of `knn`."""

        k: Annotated[tuple[int, ...], _numbers(int)] = Field(
            (20, 200), description="Neighbors that vote; several with commas.", json_schema_extra={"text": True}
        )
        t: Annotated[tuple[float, ...], _numbers(float)] = Field(
            (0.1,), description="Temperatures of the votes; several with commas.", json_schema_extra={"text": True}
        )

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Vote for every held-out image with the training images of each known label level."""
        from coarsecon.metrics.knn import knn_metrics

        split = run.held_out_split()
        labels = run.labels("train", split)
        bank, queries = (run.features(name).to(run.store.device) for name in ("train", split))
        run.continue_on_first_rank()
        run.report_unlabeled("train", split)
        voters = min(int((bank_labels >= 0).sum()) for bank_labels, _ in labels.values())
        if 2 * max(config.k) > voters:
            run.reporter.info(
                f"k={max(config.k)}: train has {voters:,} labeled images, so every prediction averages over half of "
                f"them or more; try k={max(1, min(20, voters // 10))}"
            )
        values = {
            level: knn_metrics(
                bank, bank_labels, queries, query_labels, ks=config.k, ts=config.t, reporter=run.reporter
            )
            for level, (bank_labels, query_labels) in labels.items()
        }
        metrics = [
            Metric("top1", part["top1"], level, "share", count=part["queries"]) for level, part in values.items()
        ]
        return Result(metrics, split, values, tables=[_table(values, split)])

    def outcomes(self, run: "Run", record: Mapping[str, Any]) -> "Mapping[tuple[str, str], Tensor] | None":
        """Return whether each query was classified correctly, where the features are cached."""
        from coarsecon.metrics.knn import knn_predict

        split = record["split"]
        if not all(run.store.holds(run.dataset, name) for name in ("train", split)):
            return None
        found = {}
        for level, (bank_labels, labels) in run.labels("train", split).items():
            part = record.get(level)
            if isinstance(part, dict) and {"k", "t"} <= part.keys():
                queries, k, t = run.features(split)[labels >= 0], int(part["k"]), float(part["t"])
                predicted = knn_predict(run.features("train"), bank_labels, queries, k=k, t=t)
                found[level, "top1"] = (predicted == labels[labels >= 0]).float()
        return found


def _table(values: Mapping[str, Any], split: str) -> Table:
    grids = zip(*(part["grid"] for part in values.values()), strict=True)
    rows = [[f"k {row[0]['k']}, t {row[0]['t']:g}", *(percent(cell["top1"]) for cell in row)] for row in grids]
    rows += [[name, *(f"{part[name]:,}" for part in values.values())] for name in ("queries", "classes")]
    return Table(f"kNN top-1 of {split} among train, in %", ["", *values], rows)
