"""Heat maps of the image regions that an embedding responds to, of files, of a split, or of queries and neighbors."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from coarsecon.config import FeatureLayer
from coarsecon.errors import InputError
from coarsecon.evaluation.base import Evaluation, EvaluationConfig, FileFormat, Result
from coarsecon.evaluation.figures import Gallery, HeatMaps

if TYPE_CHECKING:
    from coarsecon.evaluation.localizer import Heat
    from coarsecon.pictures.rows import GalleryRow, Picture
    from coarsecon.run.facade import Run

MAX_PIXELS = 1024
"""Longer side to which the image of a file is shrunk before anything is computed from it."""

TITLE = "What the embedding responds to"


class Localize(Evaluation):
    """Heat maps of the image regions that the embedding responds to: of files, a split, or queries and neighbors."""

    formats = (
        FileFormat("png", "Picture of the heat maps. Default: RUN/figures/localize.png."),
        FileFormat("html", "Gallery page with heat maps, of images and neighbors.", None, needs="neighbors"),
    )
    shares_ranks = False
    features_options = ("checkpoint",)

    class Config(EvaluationConfig):
        """Settings of `localize`."""

        image: list[Path] | None = Field(
            None, description="Image or folder of images; repeatable. Default: images of the split."
        )
        neighbors: int = Field(
            0, ge=0, description="Show each image with its K nearest in the split.",
            json_schema_extra={"metavar": "K", "old_name": "neighbours"},
        )  # fmt: skip
        split: str | None = Field(
            None,
            description="Split of the images and of the neighbors. Default: test, else val, else train; train for the "
            "neighbors of files.",
        )
        layer: FeatureLayer | None = Field(
            None,
            description="Layer whose norm is shown. Default: the projector (ANCOR), or the backbone where there is no "
            "projector.",
        )
        limit: int = Field(24, ge=1, description="Maximum number of images; more are sampled at random.")

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Compute the heat map of every image, and of its neighbors if asked for."""
        from coarsecon.evaluation.localizer import load_localizer

        localizer = load_localizer(run, config.layer)
        rows = _rows_with_neighbors(run, config) if config.neighbors else []
        if rows:
            pictures = [each for row in rows for each in (row.query, *(found.picture for found in row.neighbors))]
        else:
            pictures = _files(run, config.image, config.limit) if config.image else _sample(run, config)
        heats = localizer([picture.pixels for picture in pictures], run.reporter)
        values = [_to_json(picture, heat) for picture, heat in zip(pictures, heats, strict=True)]
        figure: Gallery | HeatMaps
        if rows:
            subtitle = f"{run.folder.root}, {localizer.layer}"
            figure = Gallery(lambda: rows, TITLE, subtitle, heat=lambda _: heats)
        else:
            figure = HeatMaps(pictures, heats, f"{TITLE} ({localizer.layer}), {run.folder.root}")
        return Result(values=values, figure=figure)


def _rows_with_neighbors(run: "Run", config: Localize.Config) -> "list[GalleryRow]":
    """Return the files, or some images of the split, each with its nearest images in the split."""
    from coarsecon.run.searching import example_rows, open_gallery, search_files

    if not config.image:
        return example_rows(run, config.split or run.default_split(), config.limit, config.neighbors)
    files = _sampled_files(run, config.image, config.limit)
    return search_files(run, files, open_gallery(run, config.split), top_k=config.neighbors, factory="Flat").rows


def _files(run: "Run", paths: Sequence[Path], limit: int) -> "list[Picture]":
    """Read image files, or a sample of them, shrunk to the size of a figure; broken ones are skipped and reported."""
    import numpy as np
    from PIL import Image

    from coarsecon.data.formats.images import decode
    from coarsecon.data.formats.left_out import some
    from coarsecon.pictures.rows import Picture

    pictures, broken = [], list[InputError]()
    for file in _sampled_files(run, paths, limit):
        try:
            image = Image.fromarray(decode(file))
        except InputError as error:
            broken.append(error)
            continue
        image.thumbnail((MAX_PIXELS, MAX_PIXELS))
        pictures.append(Picture(np.asarray(image), str(file)))
    if not pictures:
        raise broken[0]
    if broken:
        count = f"{len(broken):,} of {len(broken) + len(pictures):,} images"
        run.reporter.info(f"skipped {count}, which cannot be read: {some([str(error) for error in broken])}")
    return pictures


def _sampled_files(run: "Run", paths: Sequence[Path], limit: int) -> list[Path]:
    """Return the image files at `paths`; of more than `limit`, always the same random ones, in order."""
    from coarsecon.data.formats.find import find_images

    files = find_images(list(paths), run.reporter)
    return [files[i] for i in _sampled(len(files), limit)]


def _sample(run: "Run", config: Localize.Config) -> "list[Picture]":
    """Return some images of the split, always the same."""
    split = config.split or run.default_split()
    return [run.picture(split, i) for i in _sampled(len(run.dataset.split(split)), config.limit)]


def _sampled(count: int, limit: int) -> Iterable[int]:
    from coarsecon.search.collection import sample_queries

    return [int(i) for i in sample_queries(count, limit)]


def _to_json(picture: "Picture", heat: "Heat") -> dict[str, Any]:
    """Return the heat of a picture by rows from the top, its range, and the place of its maximum in fractions."""
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    hottest = [(column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]]
    extremes = {"low": float(heat.min()), "high": float(heat.max()), "hottest": hottest}
    return {"image": picture.name, "fine": picture.fine, "coarse": picture.coarse, **extremes, "heat": heat.tolist()}
