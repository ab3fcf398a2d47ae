"""`coarsecon localize RUN`: where in the image the embedding looks, as heat maps."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coarsecon.cli.console import ConsoleReporter, closing, emit_json
from coarsecon.cli.options import DataFolder, Device, EncoderChoice, JsonFile, RunArgument, Workers
from coarsecon.cli.processes import single_process
from coarsecon.config import FeatureLayer
from coarsecon.errors import InputError
from coarsecon.run.folder import open_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coarsecon.evaluation.localize import Heat
    from coarsecon.pictures.rows import GalleryRow, Picture, Pixels
    from coarsecon.run.facade import Run

LARGEST = 1024
"""The longer side that a file's image is shrunk to before anything is made of it."""


@single_process
def localize(
    run: RunArgument,
    image: Annotated[
        list[Path] | None, typer.Option(help="This image or folder; repeatable. Default: images of the split.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=0, metavar="K", help="Show each image with its K nearest in the split.")
    ] = 0,
    data: DataFolder = None,
    split: Annotated[str | None, typer.Option(help="Default: test, else val, else train.")] = None,
    layer: Annotated[
        FeatureLayer | None,
        typer.Option(
            help="Layer whose norm is shown. Default: the projector (ANCOR), or the backbone where the run has none."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of images; more are sampled at random.")] = 24,
    png: Annotated[Path | None, typer.Option(help="Default: RUN/figures/localize.png.")] = None,
    html: Annotated[Path | None, typer.Option(help="With --neighbours: a gallery page with heat maps.")] = None,
    encoder: EncoderChoice = "last",
    json: JsonFile = None,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Heat maps of where in an image the embedding looks: files, folders, a split, or queries and their neighbours."""
    opened = open_run(run)
    if html and not neighbours:
        raise InputError("--html: the page is a gallery of neighbours; pass --neighbours K too")
    from coarsecon.evaluation.localize import load_localizer
    from coarsecon.report.heat import with_heat
    from coarsecon.report.sheet import write_heat_sheet, write_sheet
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime
    from coarsecon.runtime.device import choose_device

    reporter = ConsoleReporter()
    localizer = load_localizer(opened, layer, encoder, choose_device(device), reporter)
    title = f"Where the embedding looks ({localizer.layer}), {run}"

    session = Run(opened, data, features=FeatureSpec(encoder), runtime=Runtime(device, workers, reporter))

    heats: list[Heat] = []

    def look(images: "Sequence[Pixels]") -> "Sequence[Heat]":
        heats.extend(localizer(images, reporter))
        return heats

    if neighbours:
        rows = with_heat(_with_neighbours(session, image, split, limit, neighbours), look)
        pictures = [picture for row in rows for picture in (row.query, *(found.picture for found in row.neighbors))]
        write = partial(write_sheet, rows=rows)
    else:
        pictures = _files(image, limit) if image else _sample(session, split, limit)
        write = partial(write_heat_sheet, pictures=pictures, heats=look([picture.pixels for picture in pictures]))
    if json:
        emit_json([_as_json(picture, heat) for picture, heat in zip(pictures, heats, strict=True)], json)
    origin = session.origin(heads=localizer.layer == "projector")
    draw = partial(write, title=title, origin=origin)
    opened.store(opened.figures / "localize.png", draw, reporter, given=png)
    if html:
        from coarsecon.report.gallery import write_gallery

        subtitle = f"{run}, {localizer.layer}"
        write_gallery(html, rows, title="Where the embedding looks", subtitle=subtitle, origin=origin)
    written = [*opened.stored, *(path for path in (html, Path(json) if json and json != "-" else None) if path)]
    closing(written, [])


def _files(places: list[Path], limit: int) -> "list[Picture]":
    """Image files in `places`, or a sample of them, shrunk to what a picture of them needs; broken ones are skipped."""
    import numpy as np
    from PIL import Image

    from coarsecon.data.formats.images import decode
    from coarsecon.data.formats.left_out import some
    from coarsecon.pictures.rows import Picture

    pictures, broken = [], []
    for file in _sampled_files(places, limit):
        try:
            image = Image.fromarray(decode(file))
        except InputError as error:
            broken.append(str(error))
            continue
        image.thumbnail((LARGEST, LARGEST))
        pictures.append(Picture(np.asarray(image), str(file)))
    if not pictures:
        raise InputError(broken[0])
    if broken:
        count = f"{len(broken):,} of {len(broken) + len(pictures):,} images"
        ConsoleReporter().info(f"skipped {count}, which cannot be read: {some(broken)}")
    return pictures


def _sampled_files(places: list[Path], limit: int) -> list[Path]:
    """The image files in `places`; of more than `limit`, always the same random ones, in order."""
    from coarsecon.data.formats.find import find_images
    from coarsecon.search.collection import sample_queries

    files = find_images(places, ConsoleReporter())
    return [files[i] for i in sample_queries(len(files), limit).tolist()]


def _sample(session: "Run", split: str | None, limit: int) -> "list[Picture]":
    """Some images of the split, always the same."""
    from coarsecon.search.collection import sample_queries

    chosen = split or session.default_split()
    return [session.picture(chosen, i) for i in sample_queries(len(session.dataset.split(chosen)), limit).tolist()]


def _with_neighbours(
    session: "Run", places: list[Path] | None, split: str | None, limit: int, count: int
) -> "list[GalleryRow]":
    """The files, or some images of the split, each with its nearest images in the split."""
    if not places:
        from coarsecon.run.searching import example_rows

        return example_rows(session, split or session.default_split(), limit, count)
    from coarsecon.run.searching import open_gallery, search_files

    files = _sampled_files(places, limit)
    return search_files(session, files, open_gallery(session, split), top_k=count, factory="Flat").rows


def _as_json(picture: "Picture", heat: "Heat") -> dict[str, Any]:
    """A picture's heat row by row from the top, with its extremes and where it is hottest, in shares of the sides."""
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    hottest = [(column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]]
    extremes = {"low": float(heat.min()), "high": float(heat.max()), "hottest": hottest}
    return {"image": picture.name, "fine": picture.fine, "coarse": picture.coarse, **extremes, "heat": heat.tolist()}
