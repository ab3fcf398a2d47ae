"""Maps of features: the picture, the page and what they refuse."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from coarsecon.errors import InputError
from coarsecon.report import map_page
from coarsecon.report.feature_map import FeatureMap, feature_map, spread
from coarsecon.report.map_page import map_fragment, write_map_html
from coarsecon.report.map_picture import DPI, HEAD, MARGIN, OPACITY, PANEL, write_map_png, write_map_svg
from coarsecon.report.page import page
from coarsecon.report.palette import UNKNOWN, nested_palette, palette

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 2))
LEVELS = {
    "coarse": (np.arange(60) % 3, ["pear", "milk", "<b>juice</b>"]),
    "fine": (np.where(np.arange(60) < 5, -1, np.arange(60) % 30), [f"kind {i}" for i in range(30)]),
}
IMAGES = RNG.integers(0, 256, (60, 20, 20, 3), dtype=np.uint8)
HOSTILE = "</script><script>alert(1)</script>"


def drawn(points=POINTS, levels=LEVELS, images=IMAGES, **more) -> FeatureMap:
    return feature_map(points, lambda i: images[i], levels, **{"title": "Map", **more})


def page_data(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    found = re.search(r'type="application/json" class="map-data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


SVG = "{http://www.w3.org/2000/svg}"


def elements(path: Path, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.parse(path).getroot().iter(SVG + name))


def texts(path: Path) -> list[str]:
    return ["".join(text.itertext()) for text in elements(path, "text")]


def boxes(path: Path) -> NDArray[np.float64]:
    """Left, top, width and height in pixels of the images in an SVG, whose unit is the point."""
    found = []
    for image in elements(path, "image"):
        x, y, width, height = (float(image.get(key) or 0) for key in ("x", "y", "width", "height"))
        assert image.get("transform") == f"scale(1 -1) translate(0 {-height:g})"
        found.append((x, -y, width, height))
    return np.array(found) * DPI / 72


def test_a_picture_has_a_panel_per_level_and_one_of_images(tmp_path: Path) -> None:
    write_map_png(tmp_path / "m.png", drawn())
    picture = Image.open(tmp_path / "m.png")
    assert picture.width == 3 * PANEL + 4 * MARGIN
    assert picture.height > PANEL
    write_map_png(tmp_path / "one.png", drawn(levels={}))
    assert Image.open(tmp_path / "one.png").width == PANEL + 2 * MARGIN


def test_a_point_has_the_color_of_its_class_and_unknown_ones_are_gray(tmp_path: Path) -> None:
    corners = [[0, 0], [1, 0], [0, 1], [1, 1]]
    write_map_png(tmp_path / "m.png", drawn(corners, {"coarse": ([0, 1, 2, -1], ["a", "b", "c"])}))
    picture = Image.open(tmp_path / "m.png")
    inset = 27
    for (x, y), color in zip(corners, [*palette(3), UNKNOWN], strict=True):
        left, top = (round(start + inset + at * (PANEL - 2 * inset)) for start, at in ((MARGIN, x), (HEAD + MARGIN, y)))
        pixel = np.array(picture.convert("RGB").getpixel((left, top)))
        assert np.abs(pixel - (255 + (np.array(color) - 255) * OPACITY)).max() < 4


def test_images_lie_at_their_points_and_do_not_overlap(tmp_path: Path) -> None:
    plain = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None] * 4, (60, 20, 20, 3))
    write_map_svg(tmp_path / "m.svg", drawn(images=plain))
    found = boxes(tmp_path / "m.svg")
    assert len(found) > 10
    for i, (x, y, width, height) in enumerate(found):
        apart = (np.abs(found[:, 0] - x) >= width) | (np.abs(found[:, 1] - y) >= height)
        assert apart.sum() == len(found) - 1, i
    write_map_png(tmp_path / "m.png", drawn(images=plain))
    picture = np.asarray(Image.open(tmp_path / "m.png"))
    grays = {int(picture[round(y), round(x), 0]) for x, y in found[:, :2] + found[:, 2:] / 2}
    assert grays <= set(range(0, 240, 4))
    assert len(grays) == len(found)


def test_a_vector_picture_refers_to_nothing_and_keeps_hostile_names_as_text(tmp_path: Path) -> None:
    levels = {HOSTILE: ([0, 0], [f'{HOSTILE}&"\x07 $x_'])}
    write_map_svg(tmp_path / "m.svg", drawn(POINTS[:2], levels, title=HOSTILE))
    shown = texts(tmp_path / "m.svg")
    assert HOSTILE in shown
    assert any(text.startswith("</script>") and "\x07" not in text for text in shown if text != HOSTILE)
    assert "<script" not in re.sub(r"<!--.*?-->", "", (tmp_path / "m.svg").read_text(), flags=re.DOTALL)
    references = [
        value for one in ElementTree.parse(tmp_path / "m.svg").iter() for key, value in one.items() if "href" in key
    ]
    assert references
    assert all(value.startswith(("data:image/png;", "#")) for value in references)


def test_class_weights_are_stars_with_names_on_the_panel_of_their_level(tmp_path: Path) -> None:
    stars = RNG.normal(size=(3, 2))
    write_map_svg(tmp_path / "m.svg", drawn(weights=(stars, "coarse")))
    assert texts(tmp_path / "m.svg").count("pear") == 2, "in the legend and by the star"
    write_map_png(tmp_path / "m.png", drawn(weights=(stars, "coarse")))
    write_map_html(tmp_path / "m.html", drawn(weights=(stars, "coarse")))
    weights = page_data(tmp_path / "m.html")["weights"]
    assert weights["level"] == "coarse"
    assert np.shape(weights["points"]) == (3, 2)


def test_legends_name_classes_that_have_images_as_long_as_they_are_not_too_many(tmp_path: Path) -> None:
    def names(classes: int) -> list[str]:
        levels = {"fine": (np.arange(60) % 50, [f"kind {i}" for i in range(classes)])}
        write_map_svg(tmp_path / "m.svg", drawn(levels=levels))
        return texts(tmp_path / "m.svg")

    assert {"kind 0", "kind 49"} < set(names(60))
    assert "kind 50" not in names(60)
    many = {"fine": (np.arange(300), [f"kind {i}" for i in range(300)])}
    write_map_svg(tmp_path / "m.svg", drawn(RNG.normal(size=(300, 2)), many, np.repeat(IMAGES, 5, 0)))
    assert "300 classes are too many to name here" in texts(tmp_path / "m.svg")


def test_points_that_are_spread_keep_apart_and_leave_no_room() -> None:
    points = RNG.random((500, 2))
    found = points[spread(points, 0.1)]
    gaps = np.abs(found[:, None] - found[None]).max(-1)
    assert (gaps + np.eye(len(found)) >= 0.1).all()
    assert (np.abs(points[:, None] - found[None]).max(-1).min(1) < 0.1).all()


def test_the_page_holds_points_labels_names_and_images(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(60)]
    write_map_html(tmp_path / "m.html", drawn(names=names))
    data = page_data(tmp_path / "m.html")
    assert data["names"] == names
    assert [level["name"] for level in data["levels"]] == ["coarse", "fine"]
    assert data["levels"][1]["labels"] == LEVELS["fine"][0].tolist()
    assert data["levels"][0]["parents"] is None
    assert data["levels"][1]["parents"] == [i % 3 for i in range(30)]
    assert len(set(data["levels"][1]["colors"])) == 30
    assert np.ptp(data["points"], axis=0).max() == pytest.approx(1, abs=1e-3)
    assert (data["tile"], data["columns"]) == (32, 8)


def test_levels_that_are_not_nested_have_no_parents() -> None:
    crossed = {"coarse": (np.arange(60) % 3, list("abc")), "other": (np.arange(60) // 30, list("xy"))}
    assert [level.parents for level in drawn(levels=crossed).levels] == [None, None]


def test_hostile_names_cannot_leave_their_place(tmp_path: Path) -> None:
    write_map_html(tmp_path / "m.html", drawn(POINTS[:1], {HOSTILE: ([0], [HOSTILE])}, title=HOSTILE, names=[HOSTILE]))
    text = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert text.count("<script") == 2  # the data and the program
    assert page_data(tmp_path / "m.html")["names"] == [HOSTILE]
    assert "<title>&lt;/script&gt;" in text


def test_nothing_is_loaded_and_the_policy_forbids_it(tmp_path: Path) -> None:
    write_map_html(tmp_path / "m.html", drawn())
    text = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(|fetch\(|innerHTML", text)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy[1]


def test_two_maps_on_a_page_share_styles_and_scripts_and_no_name_is_taken_twice() -> None:
    text = page("Two", map_fragment(drawn()), map_fragment(drawn(title="other"))).decode()
    assert text.count('<script type="module">') == 1
    assert text.count('<section class="map"') == 2
    assert " id=" not in text


def test_many_images_share_one_picture_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def atlas(count: int, *shape: int) -> tuple[int, int, tuple[int, int]]:
        images = np.zeros((count, *shape, 3), np.uint8)
        tile, columns, picture = map_page._atlas(drawn(np.zeros((count, 2)), {}, images))
        return tile, columns, picture.size

    assert atlas(5, 200, 100) == (112, 3, (336, 224))
    monkeypatch.setattr(map_page, "ATLAS_PIXELS", 60 * 32 * 32)
    assert atlas(60, 200, 100) == (32, 8, (256, 256))
    monkeypatch.setattr(map_page, "ATLAS_PIXELS", 1)
    assert atlas(60, 20, 20)[0] == 16


def test_all_maps_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for write, kind in ((write_map_png, "png"), (write_map_svg, "svg"), (write_map_html, "html")):
        for name in "ab":
            write(tmp_path / f"{name}.{kind}", drawn())
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_points_in_one_place_make_a_map(tmp_path: Path) -> None:
    write_map_png(tmp_path / "m.png", drawn(np.zeros((3, 2)), {"coarse": ([0, 0, 0], ["a"])}))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"levels": {"coarse": ([0], ["a"])}}, "coarse label"),
        ({"levels": {"coarse": ([0, 1, 2], ["a"])}}, "coarse label"),
        ({"names": ["one"]}, "names: there are 1 for 3 points"),
        ({"points": [[0.0, np.nan]] * 3}, "finite"),
        ({"points": []}, "at least one"),
        ({"weights": ([[0, 0]], "coarse")}, "weights: there are 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        drawn(**{"points": POINTS[:3], "levels": {"coarse": ([0, 1, 1], ["a", "b"])}, **wrong})


def test_siblings_have_colors_far_apart_and_no_two_classes_the_same() -> None:
    parents = [i // 5 for i in range(100)]
    colors = nested_palette(parents)
    assert len(set(colors)) == 100
    siblings = [(colors[i], colors[j]) for i in range(100) for j in range(i) if parents[i] == parents[j]]
    assert min(sum(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in siblings) > 60


@pytest.mark.parametrize(("classes", "nested"), [(20, True), (32, True), (32, False)])
def test_more_classes_than_colors_to_tell_apart_are_told(tmp_path: Path, classes: int, nested: bool) -> None:
    fine = np.arange(64) % classes
    levels = {"coarse": (fine // 8, [f"c{i}" for i in range(4)])} if nested else {}
    levels["fine"] = (fine, [f"f{i}" for i in range(classes)])
    shown = drawn(np.random.default_rng(0).random((64, 2)), levels, IMAGES[:1].repeat(64, 0))
    note = shown.levels[-1].color_note
    assert bool(note) == (classes > 20)
    assert ("within a coarse class" in note) == (classes > 20 and nested)
    write_map_svg(tmp_path / "m.svg", shown)
    assert texts(tmp_path / "m.svg").count(note) == bool(note)
    write_map_html(tmp_path / "m.html", shown)
    assert page_data(tmp_path / "m.html")["levels"][-1]["note"] == note


def test_colors_differ_as_long_as_classes_are_few() -> None:
    assert palette(0) == []
    for count in (1, 7, 20, 100):
        colors = palette(count)
        assert len(set(colors)) == count
        assert all(0 <= part <= 255 for color in colors for part in color)
    closest = min(
        sum(abs(a - b) for a, b in zip(one, other, strict=True))
        for i, one in enumerate(palette(20))
        for other in palette(20)[:i]
    )
    assert closest > 40
