"""`coarsecon cluster RUN`: the hidden sub-classes inside each coarse class, for people to review and to name."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coarsecon.cli.console import ConsoleReporter, closing, emit_json, percent, table
from coarsecon.cli.options import (
    DataFolder,
    Device,
    EncoderChoice,
    Flip,
    JsonFile,
    LayerChoice,
    RunArgument,
    Workers,
    unusual,
)
from coarsecon.cli.ranks import shared_session
from coarsecon.errors import InputError
from coarsecon.run.folder import open_run
from coarsecon.runtime.files import atomic_write

if TYPE_CHECKING:
    from coarsecon.metrics.cluster import Count

TABLE_ROWS = 40
"""Classes on the screen at most; the JSON has all."""


def cluster(
    run: RunArgument,
    k: Annotated[
        str,
        typer.Option(
            "--k",
            metavar="N|oracle|auto",
            help="Clusters in each class: a number, as many as it has fine labels, "
            "or an estimate by prediction strength.",
        ),
    ] = "auto",
    data: DataFolder = None,
    split: Annotated[str, typer.Option(help="Whose images.")] = "train",
    within: Annotated[
        str, typer.Option(metavar="LEVEL", help="Look inside the classes of this label level.")
    ] = "coarse",
    model: Annotated[
        Literal["kmeans", "mixture"], typer.Option(help="k-means, or a Gaussian mixture on principal components.")
    ] = "kmeans",
    max_k: Annotated[int, typer.Option(min=2, help="The largest estimate of auto.")] = 15,
    restarts: Annotated[int, typer.Option(min=1, help="Starts, of which the best is kept.")] = 10,
    images: Annotated[int, typer.Option(min=1, help="Images of each cluster in the pictures.")] = 10,
    csv: Annotated[Path | None, typer.Option(help="Default: RUN/results/cluster.csv.")] = None,
    html: Annotated[Path | None, typer.Option(help="Default: RUN/figures/cluster.html.")] = None,
    png: Annotated[Path | None, typer.Option(help="Default: RUN/figures/cluster.png.")] = None,
    encoder: EncoderChoice = "last",
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    json: JsonFile = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the starts and of the halvings of auto.")] = 0,
    workers: Workers = 2,
) -> None:
    """Cluster the images inside each coarse class, and propose a fine label for every image."""
    opened = open_run(run)
    count = _count(k)
    from coarsecon.metrics.cluster import find_clusters
    from coarsecon.report.clusters import write_cluster_page, write_cluster_sheet
    from coarsecon.report.proposals import numbers, proposed_table, shown
    from coarsecon.report.spreadsheet import csv_file
    from coarsecon.run.storing import store_result

    with shared_session(opened, data, which=encoder, layer=layer, flip=flip, device=device, workers=workers) as session:
        labels = session.dataset.split(split).labels
        if within not in labels:
            raise InputError(f"--within: {session.dataset.root} has no {within!r} labels; it has {', '.join(labels)}")
        collection = session.collection(split)
    groups = find_clusters(
        collection.features, labels[within], k=count, fine=None if within == "fine" else labels.get("fine"),
        model=model, max_k=max_k, restarts=restarts, seed=seed, reporter=session.reporter,
    )  # fmt: skip
    found = numbers(groups, collection, within)
    values = {**found, "k": count, "model": model, "within": within, "restarts": restarts, "seed": seed}
    options = unusual(cluster, locals(), "k", "within", "model", "max_k", "restarts", "seed")
    if json:
        emit_json(values, json)
    if json != "-":
        _print(found, within, split)
    proposals = csv_file(proposed_table(groups, collection, within, split))
    classes = shown(groups, collection, within, images)
    title = f"Clusters inside each {within} class"
    subtitle = f"{split} images of {session.dataset.info.name} by {run}; in each row the most typical images come first"
    about: dict[str, Any] = {"title": title, "subtitle": subtitle, "origin": session.origin()}
    with opened.storing_together(session.reporter):
        result = store_result(session, "cluster", split, values, default_split="train", options=options)
        table_file = result.with_suffix(".csv")
        opened.store(table_file, lambda place: atomic_write(place, proposals), session.reporter, given=csv)
        for kind, write, given in (("png", write_cluster_sheet, png), ("html", write_cluster_page, html)):
            draw = partial(write, classes=classes, **about)
            opened.store(opened.figures / f"{result.stem}.{kind}", draw, session.reporter, given=given)
    if count == "auto" and all(group.count == 1 for group in groups):
        session.reporter.info(_nothing_stable(found, within))
    session.report_unlabeled(split, levels=[within], consequence="and are in no cluster")
    others = [level for level in found if level in labels]
    session.report_unlabeled(split, levels=others, consequence="and are left out of the agreement")
    closing([*opened.stored, *([Path(json)] if json and json != "-" else [])], [])


def _count(text: str) -> "Count":
    if text == "oracle":
        return "oracle"
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--k {text}: pass a number of clusters, oracle or auto")
    return int(text)


def _nothing_stable(found: dict[str, Any], within: str) -> str:
    text = f"no stable groups were found: every {within} class is one cluster; --k N makes N of each"
    if len(found) > 1:  # besides the classes: agreement with other labels
        text += f". The agreement in the row all is that of the {within} labels alone"
    return text


def _print(found: dict[str, Any], within: str, split: str) -> None:
    """A row for each class, the total last."""
    levels = [level for level in found if level != "classes"]
    scores = {"NMI": "nmi", "ARI": "ari", "acc.": "accuracy"}
    columns = [
        within,
        "images",
        "clusters",
        *(f"{level} {title}" for level in levels for title in ["classes", *scores]),
    ]
    classes = found["classes"]
    whole: dict[str, Any] = {key: sum(row[key] for row in classes) for key in ("images", "clusters")}
    whole |= {"name": "all", **{level: found[level] for level in levels}}
    rows = []
    for row in [*classes[:TABLE_ROWS], whole]:
        cells = [row["name"], f"{row['images']:,}", f"{row['clusters']:,}"]
        for level in levels:
            match = row.get(level)
            cells += [f"{match['classes']:,}", *(percent(match[key]) for key in scores.values())] if match else [""] * 4
        rows.append(cells)
    table(f"Clusters inside each {within} class of {split}, agreement in %", columns, rows)
    if len(classes) > TABLE_ROWS:
        ConsoleReporter().info(f"{len(classes) - TABLE_ROWS} more classes are in the JSON")
