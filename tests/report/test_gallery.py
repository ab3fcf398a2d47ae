"""The gallery page: safe against hostile names, nothing from the network, the right marks and counts."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarsecon.pictures.rows import GalleryRow, Neighbor, Picture
from coarsecon.report.gallery import write_gallery

HOSTILE = '<script>alert(\'x\')</script>"><img src=http://evil.example onerror="go()">&amp;$title'


class Page(HTMLParser):
    """The tags of a page, each with its attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def count(self, css_class: str) -> int:
        return sum(css_class in (attributes.get("class") or "").split() for _, attributes in self.tags)


def picture(coarse: str | None, fine: str | None, side: int = 32, name: str = "a.jpg") -> Picture:
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Picture(pixels, name, coarse, fine)


@pytest.fixture
def rows() -> list[GalleryRow]:
    right, near, wrong = picture("pear", "anjou"), picture("pear", "conference"), picture("milk", "oat")
    return [
        GalleryRow(right, [Neighbor(right, 0.91), Neighbor(near, 0.5), Neighbor(wrong, -0.1)]),
        GalleryRow(wrong, [Neighbor(near, 0.4)]),
        GalleryRow(picture(None, None), [Neighbor(right, 0.3)]),
    ]


def test_every_image_is_there_with_its_mark(tmp_path: Path, rows: list[GalleryRow]) -> None:
    write_gallery(tmp_path / "g.html", rows, title="Pears", subtitle="three queries")
    page = Page(tmp_path / "g.html")
    assert len(page.named("img")) == 3 + 5
    assert len(page.named("section")) == 3
    items = [attributes["class"] for attributes in page.named("li") if "class" in attributes]
    assert items == ["filter", "right", "near", "wrong", "wrong", "unjudged"]
    alts = [attributes["alt"] for attributes in page.named("img")]
    assert alts[:3] == [
        "Query: anjou, pear, a.jpg",
        "Rank 1, same fine class: anjou, pear, a.jpg",
        "Rank 2, same coarse, other fine class: conference, pear, a.jpg",
    ]
    assert "0.910" in page.text
    assert "<dd>50%</dd>" in page.text  # of two judged queries, one begins well
    assert page.count("hit") == 1


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = picture(HOSTILE, HOSTILE, name=HOSTILE)
    write_gallery(tmp_path / "g.html", [GalleryRow(hostile, [Neighbor(hostile, 1.0)])], title=HOSTILE, subtitle=HOSTILE)
    page = Page(tmp_path / "g.html")
    assert page.named("script") == []
    assert len(page.named("img")) == 2
    assert page.named("img")[0]["alt"] == f"Query: {HOSTILE}, {HOSTILE}, {HOSTILE}"
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_nothing_is_loaded_and_the_policy_forbids_it(tmp_path: Path, rows: list[GalleryRow]) -> None:
    write_gallery(tmp_path / "g.html", rows, title="Pears")
    page = Page(tmp_path / "g.html")
    assert not re.search(r"https?:|@import|url\(", page.text)
    assert all((attributes["src"] or "").startswith("data:image/") for attributes in page.named("img"))
    policy = next(attributes["content"] for attributes in page.named("meta") if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_small_images_are_kept_to_the_pixel_and_large_ones_shrunk(tmp_path: Path) -> None:
    small, large = picture("a", "b", side=32), picture("a", "b", side=400)
    write_gallery(tmp_path / "g.html", [GalleryRow(small, [Neighbor(large, 1.0)])], title="t")
    images = Page(tmp_path / "g.html").named("img")
    sources = [(attributes["src"] or "").split(",")[1] for attributes in images]
    decoded = [Image.open(BytesIO(base64.b64decode(source))) for source in sources]
    np.testing.assert_array_equal(np.asarray(decoded[0]), small.pixels)
    assert images[0]["class"] == "small"
    assert decoded[1].format == "JPEG"
    assert decoded[1].size == (160, 160)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, rows: list[GalleryRow]) -> None:
    write_gallery(tmp_path / "1.html", rows, title="t")
    write_gallery(tmp_path / "2.html", rows, title="t")
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()


def test_no_rows_and_names_that_are_not_utf8_still_make_a_page(tmp_path: Path) -> None:
    write_gallery(tmp_path / "g.html", [], title="empty")
    odd = picture(None, None, name="caf\udce9.jpg")
    write_gallery(tmp_path / "g.html", [GalleryRow(odd, [])], title="odd")
    assert "caf?.jpg" in (tmp_path / "g.html").read_text(encoding="utf-8")


def test_one_query_is_one(tmp_path: Path, rows: list[GalleryRow]) -> None:
    write_gallery(tmp_path / "g.html", rows[:1], title="t")
    assert "<dt>query</dt>" in Page(tmp_path / "g.html").text
    write_gallery(tmp_path / "g.html", rows[:2], title="t")
    assert "<dt>queries</dt>" in Page(tmp_path / "g.html").text
