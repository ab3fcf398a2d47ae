"""`coarsecon retrieve RUN`: how well the embedding retrieves, or the nearest images of your own queries."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coarsecon.cli.console import ConsoleReporter, closing, emit_json, percent, table
from coarsecon.cli.options import DataFolder, Device, EncoderChoice, Flip, JsonFile, LayerChoice, RunArgument, Workers
from coarsecon.cli.ranks import shared_session
from coarsecon.errors import InputError
from coarsecon.run.folder import open_run

if TYPE_CHECKING:
    from coarsecon.pictures.rows import GalleryRow
    from coarsecon.run.facade import Run

WORST = 10
"""Coarse classes shown of many; JSON has them all."""

COUNTS = {
    "queries": "queries", "queries_without_match": "queries without match", "classes": "classes",
    "coarse_classes": "coarse classes",
}  # fmt: skip
"""Numbers of things in the metrics, and what to call them."""

SAMPLE = 24
"""Queries on a page of examples."""


def retrieve(
    run: RunArgument,
    data: DataFolder = None,
    split: Annotated[str | None, typer.Option(help="Default: test for metrics, train to search.")] = None,
    gallery_split: Annotated[str | None, typer.Option(help="Metrics of queries in this split instead.")] = None,
    gallery_data: Annotated[
        Path | None,
        typer.Option(
            help="Metrics in this prepared dataset. Classes match by name, fine classes by coarse class and name."
        ),
    ] = None,
    query: Annotated[list[Path] | None, typer.Option(help="Search with this image or folder; repeatable.")] = None,
    gallery: Annotated[Path | None, typer.Option(help="Search this folder of images instead of the dataset.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Neighbours to show of each query.")] = 10,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained gallery page.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the gallery as a picture.")] = None,
    heat: Annotated[bool, typer.Option("--heat", help="Show in both where the embedding looks.")] = False,
    index: Annotated[str, typer.Option(help="FAISS factory string for searches; Flat is exact.")] = "Flat",
    encoder: EncoderChoice = "last",
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    json: JsonFile = None,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Recall@k, precision@k, mAP@R, R-precision on fine and coarse labels; with --query, the nearest images."""
    opened = open_run(run)
    if gallery and not query:
        raise InputError("--gallery: a folder of images has no labels to score; pass --query too")
    if query and (gallery_split or gallery_data):
        raise InputError("--gallery-split, --gallery-data: these are for metrics; --query searches --data or --gallery")
    if index != "Flat" and not query:
        raise InputError("--index: metrics are always exact; an index serves --query")
    if heat and not (html or png):
        raise InputError("--heat: the heat maps are drawn in a gallery; pass --html or --png too")
    from coarsecon.data.formats.find import find_images
    from coarsecon.evaluation.pairing import measure_split
    from coarsecon.run.searching import example_rows, open_gallery, search_files
    from coarsecon.run.storing import store_result

    with shared_session(opened, data, which=encoder, layer=layer, flip=flip, device=device, workers=workers) as session:
        if query:
            files, searched = find_images(query, session.reporter), open_gallery(session, split, gallery)
        else:
            metrics, chosen, among = measure_split(
                session, split, gallery_split=gallery_split, gallery_data=gallery_data
            )
    if query:
        found = search_files(session, files, searched, top_k=top_k, factory=index)
        _show_neighbours(found.rows, json)
        if found.index_recall is not None:
            ConsoleReporter().info(f"index {index} finds {percent(found.index_recall)} % of the true neighbours")
        rows, title = found.rows, "Nearest images"
    else:
        title = f"within {chosen}" if chosen == among else f"of {chosen} in {among}"
        name = "retrieve" if chosen == among else f"retrieve-in-{among}"
        _show_metrics(metrics, title, json)
        store_result(session, name, chosen, {"gallery": among, **metrics})
        wanted = html or png
        rows, title = example_rows(session, chosen, SAMPLE, top_k) if wanted else [], "Examples"
    if heat:
        rows = _with_heat(session, rows)
    if html:
        from coarsecon.report.gallery import write_gallery

        write_gallery(html, rows, title=title, subtitle=str(run), origin=session.origin())
    if png:
        from coarsecon.report.sheet import write_sheet

        write_sheet(png, rows, title=f"{title}, {run}", origin=session.origin())
    written = [*opened.stored, *(path for path in (html, png, Path(json) if json and json != "-" else None) if path)]
    closing(written, [] if query else ["coarsecon", "retrieve", run, "--query", "IMAGE", "--html", "result.html"])


def _show_metrics(metrics: dict[str, Any], title: str, json: str | None) -> None:
    if json:
        emit_json(metrics, json)
    if json == "-":
        return
    levels = {level.replace("_", " "): values for level, values in metrics.items() if level != "by_coarse_class"}
    first = next(iter(levels.values()))
    rows = [(name, *(percent(values[name]) for values in levels.values())) for name in first if name not in COUNTS]
    for name, label in COUNTS.items():
        cells = [f"{values[name]:,}" if name in values else "" for values in levels.values()]
        rows += [(label, *cells)] if any(cells) else []
    table(f"Retrieval {title}, in %", ["", *levels], rows)
    classes = metrics.get("by_coarse_class", [])
    if len(classes) > 1:
        shown = f", the worst {WORST} of {len(classes)}" if len(classes) > WORST else ""
        rows = [(row["name"], *_hidden(row)) for row in classes[:WORST]]
        title = f"Fine Recall@1 of each coarse class{shown}, in %: among all, and within the class"
        table(title, ["", "queries", "fine", "R@1", "within", "chance"], rows)


def _hidden(row: dict[str, Any]) -> list[str]:
    """How well the fine classes of a coarse class are told apart."""
    fine, within = row["fine"], row["fine_within_coarse"]
    counts = [f"{fine[name]:,}" for name in ("queries", "classes")]
    return [*counts, *map(percent, (fine["recall@1"], within["recall@1"], within["chance"]))]


def _show_neighbours(rows: "list[GalleryRow]", json: str | None) -> None:
    if json:
        emit_json([_as_json(row) for row in rows], json)
    if json == "-":
        return
    found = [picture for row in rows for picture, _ in row.neighbors]
    levels = [level for level in ("fine", "coarse") if any(getattr(picture, level) for picture in found)]
    for row in rows:
        cells = [
            (picture.name, f"{score:.3f}", *(getattr(picture, level) or "" for level in levels))
            for picture, score in row.neighbors
        ]
        table(f"Nearest to {row.query.name}", ["image", "cosine", *levels], cells, numbers=False)


def _with_heat(session: "Run", rows: "list[GalleryRow]") -> "list[GalleryRow]":
    """The rows with the heat maps of the projection, or of the features where the run has no projector."""
    from coarsecon.evaluation.localize import load_localizer
    from coarsecon.report.heat import with_heat

    localizer = load_localizer(session.folder, None, session.spec.checkpoint, session.store.device, session.reporter)
    return with_heat(rows, lambda images: localizer(images, session.reporter))


def _as_json(row: "GalleryRow") -> dict[str, Any]:
    neighbours = [
        {"name": picture.name, "score": score, "fine": picture.fine, "coarse": picture.coarse}
        for picture, score in row.neighbors
    ]
    return {"query": row.query.name, "neighbours": neighbours}
