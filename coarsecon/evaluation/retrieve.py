"""Retrieval metrics of a run, or the nearest images of given queries."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from coarsecon.errors import InputError
from coarsecon.evaluation.base import (
    Evaluation,
    FileFormat,
    LevelConfig,
    Metric,
    Result,
    Table,
    evaluated_level,
    percent,
)
from coarsecon.evaluation.figures import Gallery
from coarsecon.evaluation.frozen import frozen_table, initial_run
from coarsecon.evaluation.mistakes import HIERARCHY, mistakes_metrics, mistakes_table

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.pictures.rows import GalleryRow
    from coarsecon.run.facade import Run

MAX_CLASS_ROWS = 10
"""Coarse classes in the table; the JSON has all of them."""

COUNTS = {
    "queries": "queries", "queries_without_match": "queries without match", "classes": "classes",
    "coarse_classes": "coarse classes", "parent_classes": "classes of the parent level",
}  # fmt: skip
"""Counts among the metrics, with their names in tables."""

OTHER_PARTS = ("by_coarse_class", "frozen", HIERARCHY)
"""Parts of the result that have separate tables."""

EXAMPLE_QUERIES = 24
"""Queries on a page of examples."""

DISPLAY: dict[str, Any] = {"display": True}


class Retrieve(Evaluation):
    """Recall@k, precision@k, mAP@R and R-precision at every label level; or the nearest images of a query."""

    formats = (
        FileFormat("html", "Write a self-contained gallery page to this file.", None),
        FileFormat("png", "Write the gallery as a picture to this file.", None),
    )

    class Config(LevelConfig):
        """Settings of `retrieve`."""

        split: str | None = Field(
            None, description="Split of the queries. Default: test, else val, else train; train to search.",
            json_schema_extra=DISPLAY,
        )  # fmt: skip
        gallery_split: str | None = Field(
            None, description="Split to retrieve from. Default: that of the queries.", json_schema_extra=DISPLAY
        )
        gallery_data: Path | None = Field(
            None,
            description="Prepared dataset to retrieve from. Classes match by name, fine classes by coarse class and "
            "name. Default: that of the queries.",
            json_schema_extra=DISPLAY,
        )
        query: list[Path] | None = Field(
            None, description="Search with this image, or folder of images; repeatable.", json_schema_extra=DISPLAY
        )
        gallery: Path | None = Field(
            None, description="Search in this folder of images instead of the dataset.", json_schema_extra=DISPLAY
        )
        frozen: bool = Field(
            True,
            description="Compare with the encoder that training started from, if the run keeps it; "
            "its features are extracted once.",
            json_schema_extra=DISPLAY,
        )
        top_k: int = Field(10, ge=1, description="Neighbors to show of each query.", json_schema_extra=DISPLAY)
        heat: bool = Field(
            False, description="Show in galleries what the embedding responds to, as heat maps.",
            json_schema_extra=DISPLAY,
        )  # fmt: skip
        index: str = Field(
            "Flat", description="FAISS factory string for searches; Flat is exact.", json_schema_extra=DISPLAY
        )

        tune: bool = Field(
            False, description="Choose search settings on validation queries, store them in the run, and compare them "
            "with the plain search. The gallery is train, unless another split is named.", json_schema_extra=DISPLAY,
        )  # fmt: skip
        tuned: bool = Field(
            False, description="Search with the settings that were stored by tuning; for queries.",
            json_schema_extra=DISPLAY,
        )  # fmt: skip

        @model_validator(mode="after")
        def _check_combination(self) -> Self:
            if self.gallery and not self.query:
                raise InputError("gallery", "a folder of images has no labels to score", "pass query too")
            if self.query and (self.gallery_split or self.gallery_data):
                subject = "gallery_split" if self.gallery_split else "gallery_data"
                raise InputError(subject, "is for metrics", "leave it out: queries search the dataset, or gallery")
            if self.index != "Flat" and not self.query:
                raise InputError("index", "metrics are always exact", "pass query to search with an index")
            if self.level and (self.query or self.tune):
                raise InputError("labels", "is for metrics", "leave it out")
            if self.tune and (self.query or self.gallery_data or self.tuned):
                subject = "query" if self.query else "gallery_data" if self.gallery_data else "tuned"
                raise InputError(subject, "cannot be combined with tuning", "leave tune or this out")
            if self.tuned and not self.query:
                raise InputError("tuned", "is for searches", "pass query too, or tune to measure the settings")
            if self.tuned and self.index != "Flat":
                raise InputError("index", "a tuned search is exact", "leave index out")
            return self

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Measure retrieval, or search with `config.query`."""
        if config.query:
            return self._search(run, config)
        if config.tune:
            from coarsecon.evaluation.tune import tune

            return tune(run, config.split, config.gallery_split)
        from coarsecon.evaluation.pairing import measure_split
        from coarsecon.run.searching import example_rows

        initial = initial_run(run) if config.frozen else None
        values, split, gallery = measure_split(
            run, config.split, gallery_split=config.gallery_split, gallery_data=config.gallery_data, initial=initial,
            level=config.level,
        )  # fmt: skip
        tables = _tables(values, f"within {split}" if split == gallery else f"of {split} in {gallery}")
        if initial:
            tables.insert(1, frozen_table(values["frozen"], values, run.spec.checkpoint))
        return Result(
            metrics=list(_metrics(values)),
            split=split,
            values=values,
            stored={"gallery": gallery},
            name="" if split == gallery else f"retrieve-in-{gallery}",
            tables=tables,
            others=(initial,) if initial else (),
            figure=self._gallery(
                run, config, partial(example_rows, run, split, EXAMPLE_QUERIES, config.top_k), "Examples"
            ),
        )

    def outcomes(self, run: "Run", record: Mapping[str, Any]) -> "Mapping[tuple[str, str], Tensor] | None":
        """Return the metrics of each query of a stored result, where the features of both sides are cached."""
        from coarsecon.data.prepared.split_ref import SplitRef
        from coarsecon.evaluation.paired_labels import nested_labels, paired_labels
        from coarsecon.evaluation.pairing import search_between, shared_values

        if "tuned" in record:  # from other features than those of the run
            return None
        split = record["split"]
        gallery = record.get("gallery", split)
        if not isinstance(gallery, str) or gallery not in run.dataset.splits:  # of another dataset
            return None
        queries, among = SplitRef(run.dataset, split), SplitRef(run.dataset, gallery)
        if not all(run.store.holds(run.dataset, name) for name in (split, gallery)):
            return None
        distributed = run.runtime.distributed
        level = evaluated_level(record)
        labels = paired_labels(queries, among, level)
        chain = nested_labels(queries, among, level)
        values = shared_values(search_between(run.store, queries, among), labels, distributed, chain=chain)
        return {(level, name): value for level, found in values.items() for name, value in found.items()}

    def _search(self, run: "Run", config: Config) -> Result:
        from coarsecon.data.formats.find import find_images
        from coarsecon.run.searching import open_gallery, search_files, tuned

        files = find_images(config.query or [], run.reporter)
        gallery = open_gallery(run, config.split, config.gallery)
        if config.tuned:
            gallery = tuned(run, gallery)
        found = search_files(run, files, gallery, top_k=config.top_k, factory=config.index)
        if found.index_recall is not None:
            recall = percent(found.index_recall)
            run.reporter.info(f"index {config.index} finds {recall} % of the true neighbors")
        return Result(
            values=[_neighbors_json(row) for row in found.rows],
            tables=[_neighbors_table(row, found.rows) for row in found.rows],
            figure=self._gallery(run, config, lambda: found.rows, "Nearest images"),
        )

    def _gallery(self, run: "Run", config: Config, rows: Any, title: str) -> Gallery:
        heat = None
        if config.heat:
            from coarsecon.evaluation.localizer import load_localizer

            localizer = load_localizer(run.with_features(layer="backbone"))  # apart: results do not depend on the heads
            heat = partial(localizer, reporter=run.reporter)
        return Gallery(rows, title, str(run.folder.root), heat)


def _metrics(values: Mapping[str, Any]) -> "Sequence[Metric]":
    """Return the metrics of every part; Recall@k are fractions of queries."""
    return [
        Metric(name, value, part, "share" if name.startswith("recall@") else "chance" if name == "chance" else "score",
               count=scores["queries"] if name.startswith("recall@") else None)
        for part, scores in values.items() if isinstance(scores, dict) and part not in OTHER_PARTS
        for name, value in scores.items() if name not in COUNTS
    ] + (mistakes_metrics(values[HIERARCHY]) if HIERARCHY in values else [])  # fmt: skip


def _tables(values: Mapping[str, Any], title: str) -> list[Table]:
    levels = {level.replace("_", " "): part for level, part in values.items() if level not in OTHER_PARTS}
    first = next(iter(levels.values()))
    rows = [[name, *(percent(part[name]) for part in levels.values())] for name in first if name not in COUNTS]
    for name, label in COUNTS.items():
        cells = [f"{part[name]:,}" if name in part else "" for part in levels.values()]
        rows += [[label, *cells]] if any(cells) else []
    tables = [Table(f"Retrieval {title}, in %", ["", *levels], rows)]
    if HIERARCHY in values:
        tables.append(mistakes_table(values[HIERARCHY]))
    classes = values.get("by_coarse_class", [])
    if len(classes) > 1:
        shown = f", the worst {MAX_CLASS_ROWS} of {len(classes)}" if len(classes) > MAX_CLASS_ROWS else ""
        title = f"Fine Recall@1 of each coarse class{shown}, in %: among all, and within the class"
        rows = [_class_row(row) for row in classes[:MAX_CLASS_ROWS]]
        tables.append(Table(title, ["", "queries", "fine", "R@1", "within", "chance"], rows))
    return tables


def _class_row(row: Mapping[str, Any]) -> list[str]:
    fine, within = row["fine"], row["fine_within_coarse"]
    counts = [f"{fine[name]:,}" for name in ("queries", "classes")]
    return [row["name"], *counts, *map(percent, (fine["recall@1"], within["recall@1"], within["chance"]))]


def _neighbors_table(row: "GalleryRow", rows: "Sequence[GalleryRow]") -> Table:
    found = [picture for each in rows for picture, _ in each.neighbors]
    levels = [level for level in ("fine", "coarse") if any(getattr(picture, level) for picture in found)]
    cells = [
        [picture.name, f"{score:.3f}", *(getattr(picture, level) or "" for level in levels)]
        for picture, score in row.neighbors
    ]
    return Table(f"Nearest to {row.query.name}", ["image", "cosine", *levels], cells, numbers=False)


def _neighbors_json(row: "GalleryRow") -> dict[str, Any]:
    found = [
        {"name": picture.name, "score": score, "fine": picture.fine, "coarse": picture.coarse}
        for picture, score in row.neighbors
    ]
    return {"query": row.query.name, "neighbours": found}
