"""Page of a ranking: a table that sorts by any column, and a gallery of nearest neighbors for each row."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from coarsecon.pictures.rows import GalleryRow
from coarsecon.report.gallery import gallery_fragment
from coarsecon.report.page import Fragment, render, write_page


class RankingCell(NamedTuple):
    """Cell with its text, the number to sort by, and a flag for the best of its column."""

    text: str
    value: float | None = None
    is_best: bool = False


class NeighborStrip(NamedTuple):
    """Some queries with their nearest images, by what is ranked under this name."""

    name: str
    about: str
    rows: Sequence[GalleryRow]


def write_ranking(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Sequence[RankingCell]],
    strips: Sequence[NeighborStrip],
    problems: Sequence[tuple[str, str]] = (),
    *,
    title: str,
    subtitle: str,
    about: str = "",
) -> None:
    """Write the self-contained page of a ranking.

    Args:
        path: The file to write.
        columns: Headings; the first is that of the names.
        rows: A cell for each column, in the order of the ranking.
        strips: Galleries below the table.
        problems: What is missing, with the reason.
        title: Plain text.
        subtitle: Plain text below the title.
        about: Plain text below the table.

    Raises:
        InputError: `path` is a file that coarsecon did not make.
    """
    body = render(
        "ranking.html", title=title, subtitle=subtitle, columns=columns, rows=rows, about=about, problems=problems
    )
    galleries = [gallery_fragment(strip.rows, title=strip.name, subtitle=strip.about) for strip in strips]
    write_page(path, title, Fragment(body, ("ranking.css",), ("ranking.js",)), *galleries, layout="ranks")
