"""Gallery of queries with their nearest images, each marked right or wrong, as one self-contained HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from coarsecon.pictures.images import data_uri, png
from coarsecon.pictures.origin import Origin
from coarsecon.pictures.rows import VERDICTS, GalleryRow, Verdict, judge
from coarsecon.report.heat import SCALE_NOTE, scale_picture
from coarsecon.report.page import Fragment, render, write_page


def write_gallery(
    path: Path | str, rows: Sequence[GalleryRow], *, title: str, subtitle: str = "", origin: Origin | None = None
) -> None:
    """Write a self-contained page of `rows`, with each neighbor marked by `rows.judge`.

    The same rows give the same bytes.

    Raises:
        InputError: `path` is a file that coarsecon did not make.
    """
    write_page(path, title, gallery_fragment(rows, title=title, subtitle=subtitle, level=1), origin=origin)


def gallery_fragment(
    rows: Sequence[GalleryRow], *, title: str, subtitle: str = "", level: Literal[1, 2, 3, 4] = 2
) -> Fragment:
    """Render the gallery as part of a page, under a heading of `level`. Its style is limited to `.gallery`."""
    verdicts = [[judge(row.query, neighbor.picture) for neighbor in row.neighbors] for row in rows]
    seen = {verdict for row in verdicts for verdict in row}
    has_heat = any(row.query.heat is not None for row in rows)
    html = render(
        "gallery.html",
        level=level,
        title=title,
        subtitle=subtitle,
        facts=_facts(verdicts),
        key=[verdict for verdict in VERDICTS if verdict in seen],
        scale=data_uri("png", png(scale_picture(128, 1))) if has_heat else None,
        scale_note=SCALE_NOTE,
        rows=list(zip(rows, verdicts, strict=True)),
    )
    return Fragment(html, styles=("gallery.css",))


def _facts(verdicts: list[list[Verdict | None]]) -> list[tuple[str, str]]:
    """Return summary numbers of the rows shown, as far as they can be judged."""
    facts = [("query" if len(verdicts) == 1 else "queries", str(len(verdicts)))]
    firsts = [row[0] for row in verdicts if row and row[0]]
    if firsts:
        judged = [verdict for row in verdicts for verdict in row if verdict]
        facts += [("nearest neighbor right", _fraction(firsts)), ("all neighbors right", _fraction(judged))]
    return facts


def _fraction(verdicts: list[Verdict]) -> str:
    return f"{sum(verdict.kind == 'right' for verdict in verdicts) / len(verdicts):.0%}"
