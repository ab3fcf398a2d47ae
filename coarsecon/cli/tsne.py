"""`coarsecon tsne RUN`: the features on a map, as pictures and as a page to look around in."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from coarsecon.cli.console import closing, emit_json
from coarsecon.cli.options import DataFolder, Device, EncoderChoice, Flip, JsonFile, RunArgument, Workers, unusual
from coarsecon.cli.ranks import shared_session
from coarsecon.config import FeatureLayer
from coarsecon.errors import InputError
from coarsecon.run.folder import open_run

LIMIT = 10_000
"""More images than this take long to project and make a page that a browser finds heavy."""


def tsne(
    run: RunArgument,
    data: DataFolder = None,
    split: Annotated[str | None, typer.Option(help="Default: test, else val, else train.")] = None,
    method: Annotated[
        Literal["tsne", "pca", "umap"], typer.Option(help="t-SNE, the principal plane, or UMAP (pip extra umap).")
    ] = "tsne",
    perplexity: Annotated[
        float | None,
        typer.Option(help="Of t-SNE: about how many neighbours count. Default: 30, or less for few images."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many images, drawn at random; 0: all.")] = LIMIT,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Draw what the run's classifier learned of each class as a star.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page: zoom, hover, filter, lasso to CSV.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the picture as vectors.")] = None,
    encoder: EncoderChoice = "last",
    layer: Annotated[
        FeatureLayer | None, typer.Option(help="Default: backbone; with --class-weights the layer they belong to.")
    ] = None,
    flip: Flip = False,
    json: JsonFile = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the map, and of the images drawn for --limit.")] = 0,
    workers: Workers = 2,
) -> None:
    """Map features to the plane, coloured by coarse and fine class: PNG, SVG and a page, in RUN/figures by default."""
    opened = open_run(run)
    if perplexity is not None and method != "tsne":
        raise InputError(f"--perplexity: {method} has none; leave it out, or use --method tsne")
    from coarsecon.report.map_page import write_map_html
    from coarsecon.report.map_picture import write_map_png, write_map_svg
    from coarsecon.report.projection import draw_map, map_split, weights_layer
    from coarsecon.run.storing import store_result

    settings: dict[str, Any] = {"which": encoder, "flip": flip, "device": device, "workers": workers}
    with shared_session(opened, data, layer=layer or "backbone", **settings) as session:
        wanted = weights_layer(session) if class_weights else session.spec.layer
        if layer and wanted != layer:
            raise InputError(f"--class-weights lie among features of another layer; leave --layer {layer} out")
        split = split or session.default_split()
        session.features(split)
        session.warn_if_trained_on(split)
    reporter = session.reporter
    if wanted != session.spec.layer:
        session = session.with_features(layer=wanted)
    count = len(session.dataset.split(split))
    if limit and count > limit:
        reporter.info(f"mapping {limit:,} of the {count:,} images of {split}, drawn at random (--limit)")
    record = map_split(
        session, split, method,
        perplexity=perplexity, seed=seed, limit=limit or None, class_weights=class_weights,
    )  # fmt: skip
    options = unusual(tsne, locals(), "perplexity", "limit", "class_weights", "seed")
    if json:
        emit_json(record, json)
    drawn, some_given = draw_map(session, split, record), html or png or svg
    with opened.storing_together(reporter):
        result = store_result(session, method, split, record, options=options)
        for given, kind, write in (
            (html, "html", write_map_html),
            (png, "png", write_map_png),
            (svg, "svg", write_map_svg),
        ):
            if given or not some_given:
                draw = partial(write, drawn=drawn, origin=session.origin())
                opened.store(opened.figures / f"{result.stem}.{kind}", draw, reporter, given=given)
    closing([*opened.stored, *([Path(json)] if json and json != "-" else [])], ["coarsecon", "report", run])
