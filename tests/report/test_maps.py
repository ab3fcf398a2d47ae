"""Maps of features: the picture, the page and what they refuse."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from coarsecon.errors import InputError
from coarsecon.report import map_page
from coarsecon.report.feature_map import FeatureMap, feature_map, spread
from coarsecon.report.map_page import map_fragment, write_map_html
from coarsecon.report.map_picture import MARGIN, PANEL, write_map_png, write_map_svg
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


def elements(path: Path, name: str) -> list[ElementTree.Element]:
    return ElementTree.parse(path).getroot().findall(f"{{http://www.w3.org/2000/svg}}{name}")


def test_a_picture_has_a_panel_per_level_and_one_of_images(tmp_path: Path) -> None:
    write_map_png(tmp_path / "m.png", drawn())
    picture = Image.open(tmp_path / "m.png")
    assert picture.width == 3 * PANEL + 4 * MARGIN
    assert picture.height > PANEL
    write_map_png(tmp_path / "one.png", drawn(levels={}))
    assert Image.open(tmp_path / "one.png").width == PANEL + 2 * MARGIN


def test_a_point_has_the_color_of_its_class_and_unknown_ones_are_gray(tmp_path: Path) -> None:
    corners = [[0, 0], [1, 0], [0, 1], [1, 1]]
    four = drawn(corners, {"coarse": ([0, 1, 2, -1], ["a", "b", "c"])})
    write_map_png(tmp_path / "m.png", four)
    write_map_svg(tmp_path / "m.svg", four)
    picture = Image.open(tmp_path / "m.png")
    circles = elements(tmp_path / "m.svg", "circle")
    assert len(circles) == 2 * 4  # on the panel of the level, and gray beneath the images
    for color in [*palette(3), UNKNOWN]:
        circle = next(circle for circle in circles if circle.get("fill") == "#" + bytes(color).hex())
        x, y = float(circle.get("cx") or 0), float(circle.get("cy") or 0)
        pixel = np.array(picture.getpixel((round(x), round(y))))
        on_paper = 255 + (np.array(color) - 255) * float(circle.get("fill-opacity") or 0)
        assert np.abs(pixel - on_paper).max() < 3


def test_images_lie_at_their_points_and_do_not_overlap(tmp_path: Path) -> None:
    plain = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None] * 4, (60, 20, 20, 3))
    write_map_svg(tmp_path / "m.svg", drawn(images=plain))
    shown = elements(tmp_path / "m.svg", "image")
    boxes = np.array([[float(one.get(key) or 0) for key in ("x", "y", "width", "height")] for one in shown])
    assert len(boxes) > 10
    for i, (x, y, width, height) in enumerate(boxes):
        apart = (np.abs(boxes[:, 0] - x) >= width) | (np.abs(boxes[:, 1] - y) >= height)
        assert apart.sum() == len(boxes) - 1, i
    write_map_png(tmp_path / "m.png", drawn(images=plain))
    picture = np.asarray(Image.open(tmp_path / "m.png"))
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    grays = {int(picture[round(y), round(x), 0]) for x, y in centers}
    assert grays <= set(range(0, 240, 4))
    assert len(grays) == len(boxes)


def test_a_vector_picture_refers_to_nothing_and_keeps_hostile_names_as_text(tmp_path: Path) -> None:
    levels = {HOSTILE: ([0, 0], [f'{HOSTILE}&"\x07'])}
    write_map_svg(tmp_path / "m.svg", drawn(POINTS[:2], levels, title=HOSTILE))
    texts = [text.text or "" for text in elements(tmp_path / "m.svg", "text")]
    assert texts[0] == HOSTILE
    assert any(text.startswith("</script>") and "\x07" not in text for text in texts[3:])
    text = (tmp_path / "m.svg").read_text()
    assert "<script" not in text
    assert text.count("http") == 1  # the namespace
    assert all(
        (image.get("href") or "").startswith("data:image/png;") for image in elements(tmp_path / "m.svg", "image")
    )


def test_class_weights_are_stars_with_names_on_the_panel_of_their_level(tmp_path: Path) -> None:
    stars = RNG.normal(size=(3, 2))
    write_map_svg(tmp_path / "m.svg", drawn(weights=(stars, "coarse")))
    polygons = elements(tmp_path / "m.svg", "polygon")
    assert [star.get("fill") for star in polygons] == ["#" + bytes(color).hex() for color in palette(3)]
    named = [text.text for text in elements(tmp_path / "m.svg", "text") if text.get("paint-order")]
    assert "pear" in named
    write_map_png(tmp_path / "m.png", drawn(weights=(stars, "coarse")))
    write_map_html(tmp_path / "m.html", drawn(weights=(stars, "coarse")))
    weights = page_data(tmp_path / "m.html")["weights"]
    assert weights["level"] == "coarse"
    assert np.shape(weights["points"]) == (3, 2)


def test_legends_name_classes_that_have_images_as_long_as_they_are_not_too_many(tmp_path: Path) -> None:
    def names(classes: int) -> list[str | None]:
        levels = {"fine": (np.arange(60) % 50, [f"kind {i}" for i in range(classes)])}
        write_map_svg(tmp_path / "m.svg", drawn(levels=levels))
        return [text.text for text in elements(tmp_path / "m.svg", "text")]

    assert {"kind 0", "kind 49"} < set(names(60))
    assert "kind 50" not in names(60)
    many = {"fine": (np.arange(300), [f"kind {i}" for i in range(300)])}
    write_map_svg(tmp_path / "m.svg", drawn(RNG.normal(size=(300, 2)), many, np.repeat(IMAGES, 5, 0)))
    assert "300 classes are too many to name here" in [text.text for text in elements(tmp_path / "m.svg", "text")]


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
        ({"names": ["one"]}, "as many names"),
        ({"points": [[0.0, np.nan]] * 3}, "finite"),
        ({"points": []}, "at least one"),
        ({"weights": ([[0, 0]], "coarse")}, "class weights"),
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
    assert ("within a class" in note) == (classes > 20 and nested)
    write_map_svg(tmp_path / "m.svg", shown)
    texts = [element.text for element in elements(tmp_path / "m.svg", "text")]
    assert texts.count(note) == bool(note)
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
