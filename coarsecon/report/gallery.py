"""A gallery as one self-contained HTML page: each query with its nearest images, right and wrong marked."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Literal

from PIL import Image

from coarsecon.pictures.images import SMALL, data_uri, jpeg, png, thumbnail_uri
from coarsecon.pictures.origin import Origin
from coarsecon.pictures.rows import VERDICTS, GalleryRow, Neighbor, Picture, Verdict, judge
from coarsecon.report.heat import SCALE_NOTE, scale_picture
from coarsecon.report.page import Fragment, asset, write_page

THUMBNAIL = 160
GLYPHS = {"right": "✓", "near": "≈", "wrong": "✕"}


def write_gallery(
    path: Path | str, rows: Sequence[GalleryRow], *, title: str, subtitle: str = "", origin: Origin | None = None
) -> None:
    """Write `rows` as a page that loads nothing from elsewhere; a neighbor is marked by `rows.judge`.

    Every text is escaped. The same rows give the same bytes.
    """
    part = gallery_fragment(rows, title=title, subtitle=subtitle, level=1)
    write_page(path, title, part._replace(html=f"<main>\n{part.html}</main>"), origin=origin)


def gallery_fragment(
    rows: Sequence[GalleryRow], *, title: str, subtitle: str = "", level: Literal[1, 2, 3, 4] = 2
) -> Fragment:
    """The gallery as a part of a page, under a heading of `level`. Its names are classes below `.gallery`."""
    verdicts = [[judge(row.query, neighbor.picture) for neighbor in row.neighbors] for row in rows]
    numbered = enumerate(zip(rows, verdicts, strict=True), 1)
    html = Template(asset("gallery.html")).substitute(
        level=level,
        title=escape(title),
        subtitle=escape(subtitle),
        facts=_facts(verdicts),
        key=_key(verdicts) + _heat_key(rows),
        rows="\n".join(_row(level + 1, i, row, marks) for i, (row, marks) in numbered),
    )
    return Fragment(html, styles=("gallery.css",))


def _facts(verdicts: list[list[Verdict | None]]) -> str:
    """Numbers over the rows shown, where there is something to judge."""
    facts = [("query" if len(verdicts) == 1 else "queries", str(len(verdicts)))]
    firsts = [marks[0] for marks in verdicts if marks and marks[0]]
    if firsts:
        facts.append(("nearest neighbor right", _share(firsts)))
        facts.append(("all neighbors right", _share([mark for marks in verdicts for mark in marks if mark])))
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)


def _share(marks: list[Verdict]) -> str:
    return f"{sum(mark.kind == 'right' for mark in marks) / len(marks):.0%}"


def _key(verdicts: list[list[Verdict | None]]) -> str:
    """What each mark means, for the marks that occur, and the switch that hides the rows that begin well."""
    seen = {mark for marks in verdicts for mark in marks}
    lines = [f"<li>{_mark(verdict)} {verdict.meaning}</li>" for verdict in VERDICTS if verdict in seen]
    if seen - {None}:
        lines.append(
            '<li class="filter"><label><input type="checkbox" class="misses"> '
            "only queries whose nearest neighbor is not right</label></li>"
        )
    return "".join(lines)


def _heat_key(rows: Sequence[GalleryRow]) -> str:
    """The switch that shows where the embedding looks, and the scale of its colors, where there are heat maps."""
    if not any(row.query.heat is not None for row in rows):
        return ""
    scale = data_uri("png", png(scale_picture(128, 1)))
    return (
        '<li class="filter"><label><input type="checkbox" class="heat-switch"> where the embedding looks</label></li>'
        f'<li class="scale">low norm <img src="{scale}" alt="from dark to bright"> high norm, {SCALE_NOTE}</li>'
    )


def _row(level: int, number: int, row: GalleryRow, verdicts: list[Verdict | None]) -> str:
    hit = " hit" if verdicts and verdicts[0] and verdicts[0].kind == "right" else ""
    neighbors = "".join(map(_neighbor, range(1, len(verdicts) + 1), row.neighbors, verdicts))
    return (
        f'<section class="row{hit}" aria-label="Query {number}">'
        f'<div class="query"><h{level} class="label">Query {number}</h{level}><figure>{_image(row.query, "Query")}'
        f"{_caption(row.query)}</figure></div>"
        f'<ol class="neighbors">{neighbors}</ol></section>'
    )


def _neighbor(rank: int, neighbor: Neighbor, verdict: Verdict | None) -> str:
    kind, mark, role = "unjudged", "<span></span>", f"Rank {rank}"
    if verdict:
        kind, mark, role = verdict.kind, _mark(verdict), f"Rank {rank}, {verdict.meaning}"
    place = f'<span>{rank}</span><span class="score">{neighbor.score:.3f}</span>{mark}'
    figure = _image(neighbor.picture, role) + _caption(neighbor.picture)
    return f'<li class="{kind}"><div class="place">{place}</div><figure>{figure}</figure></li>'


def _mark(verdict: Verdict) -> str:
    attributes = f'class="mark {verdict.kind}" role="img" aria-label="{verdict.meaning}"'
    return f'<span {attributes} title="{verdict.meaning}">{GLYPHS[verdict.kind]}</span>'


def _image(picture: Picture, role: str) -> str:
    labels = [label for label in (picture.fine, picture.coarse) if label is not None]
    alt = escape(f"{role}: {', '.join([*labels, picture.name])}")
    small = ' class="small"' if max(picture.pixels.shape[:2]) <= SMALL else ""
    source = thumbnail_uri(picture.pixels, THUMBNAIL)
    heat = ""
    if picture.heat is not None:
        uri = data_uri("jpeg", jpeg(Image.fromarray(picture.heat)))
        heat = f'<img class="heat" src="{uri}" alt="Where the embedding looks in {escape(picture.name)}">'
    return f'<span class="frame"><img{small} src="{source}" alt="{alt}">{heat}</span>'


def _caption(picture: Picture) -> str:
    lines = [("fine", picture.fine), ("coarse", picture.coarse), ("name", picture.name)]
    spans = [
        f'<span class="{kind}" title="{escape(text)}"><bdi dir="ltr">{escape(text)}</bdi></span>'
        for kind, text in lines
        if text
    ]
    return f"<figcaption>{''.join(spans)}</figcaption>"
