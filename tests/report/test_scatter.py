"""Maps of features: the picture, the page and what they refuse."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarsecon.errors import InputError
from coarsecon.report import scatter
from coarsecon.report.palette import UNKNOWN, palette
from coarsecon.report.scatter import MARGIN, PANEL, write_map_html, write_map_png

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 2))
LEVELS = {
    "coarse": (np.arange(60) % 3, ["pear", "milk", "<b>juice</b>"]),
    "fine": (np.where(np.arange(60) < 5, -1, np.arange(60) % 30), [f"kind {i}" for i in range(30)]),
}
IMAGES = list(RNG.integers(0, 256, (60, 20, 20, 3), dtype=np.uint8))


def page_data(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    found = re.search(r'type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_picture_has_one_panel_per_level(tmp_path: Path) -> None:
    write_map_png(tmp_path / "m.png", POINTS, LEVELS, title="Map")
    picture = Image.open(tmp_path / "m.png")
    assert picture.width == 2 * PANEL + 3 * MARGIN
    assert picture.height > PANEL
    write_map_png(tmp_path / "one.png", POINTS, {"fine": LEVELS["fine"]})
    assert Image.open(tmp_path / "one.png").width == PANEL + 2 * MARGIN


def test_a_point_has_the_colour_of_its_class_and_unknown_ones_are_grey(tmp_path: Path) -> None:
    corners = [[0, 0], [1, 0], [0, 1], [1, 1]]
    write_map_png(tmp_path / "m.png", corners, {"coarse": ([0, 1, 2, -1], ["a", "b", "c"])})
    picture = Image.open(tmp_path / "m.png")
    left, top = MARGIN + 12, MARGIN + 36 + 12  # the first point's centre, and how far the others are
    step = PANEL - 24
    for (column, row), colour in zip(corners, [*palette(3), UNKNOWN], strict=True):
        pixel = np.array(picture.getpixel((left + column * step, top + row * step)))
        on_paper = 255 + (np.array(colour) - 255) * 205 / 255
        assert np.abs(pixel - on_paper).max() < 3


def test_the_page_holds_points_labels_names_and_images(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(60)]
    write_map_html(tmp_path / "m.html", POINTS, IMAGES, LEVELS, title="Map", names=names)
    data = page_data(tmp_path / "m.html")
    assert data["names"] == names
    assert [level["name"] for level in data["levels"]] == ["coarse", "fine"]
    assert data["levels"][1]["labels"] == LEVELS["fine"][0].tolist()
    assert len(set(data["levels"][1]["colours"])) == 30
    assert np.ptp(data["points"], axis=0).max() == pytest.approx(1, abs=1e-3)
    assert (data["tile"], data["columns"]) == (32, 8)


def test_hostile_names_cannot_leave_their_place(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    write_map_html(
        tmp_path / "m.html",
        POINTS[:1],
        IMAGES[:1],
        {hostile: ([0], [hostile])},
        title=hostile,
        names=[hostile],
    )
    text = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert text.count("<script") == 2  # the data and the program
    assert page_data(tmp_path / "m.html")["names"] == [hostile]
    assert "<title>&lt;/script&gt;" in text


def test_nothing_is_loaded_and_the_policy_forbids_it(tmp_path: Path) -> None:
    write_map_html(tmp_path / "m.html", POINTS, IMAGES, LEVELS, title="Map")
    text = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(|fetch\(|innerHTML", text)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy[1]


def test_many_images_share_one_picture_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    tile, columns, atlas = scatter._atlas([np.zeros((200, 100, 3), np.uint8)] * 5)
    assert (tile, columns, atlas.size) == (112, 3, (336, 224))
    monkeypatch.setattr(scatter, "ATLAS_PIXELS", 60 * 32 * 32)
    tile, columns, atlas = scatter._atlas([np.zeros((200, 100, 3), np.uint8)] * 60)
    assert (tile, columns, atlas.size) == (32, 8, (256, 256))
    monkeypatch.setattr(scatter, "ATLAS_PIXELS", 1)
    assert scatter._atlas(IMAGES)[0] == 16


def test_both_maps_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in "ab":
        write_map_png(tmp_path / f"{name}.png", POINTS, LEVELS)
        write_map_html(tmp_path / f"{name}.html", POINTS, IMAGES, LEVELS, title="t")
    for kind in ("png", "html"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_points_in_one_place_and_labels_that_do_not_fit(tmp_path: Path) -> None:
    write_map_png(tmp_path / "m.png", np.zeros((3, 2)), {"coarse": ([0, 0, 0], ["a"])})
    for levels in ({"coarse": ([0], ["a"])}, {"coarse": ([0, 1, 2], ["a"])}):
        with pytest.raises(InputError, match="coarse label"):
            write_map_png(tmp_path / "no.png", POINTS[:3], levels)
    with pytest.raises(InputError, match="as many images"):
        write_map_html(tmp_path / "no.html", POINTS, IMAGES[:5], LEVELS, title="t")
    with pytest.raises(InputError, match="finite"):
        write_map_png(tmp_path / "no.png", [[0.0, np.nan]], {})
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


def test_colours_differ_as_long_as_classes_are_few() -> None:
    assert palette(0) == []
    for count in (1, 7, 20, 100):
        colours = palette(count)
        assert len(set(colours)) == count
        assert all(0 <= part <= 255 for colour in colours for part in colour)
    closest = min(
        sum(abs(a - b) for a, b in zip(one, other, strict=True))
        for i, one in enumerate(palette(20))
        for other in palette(20)[:i]
    )
    assert closest > 40
