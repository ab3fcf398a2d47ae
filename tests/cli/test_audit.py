"""`coarsecon data audit`: planted problems are in the table, page and JSON, and `prepare --exclude` removes them."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.sources.toy import draw

ROWS = ("path", "coarse", "split")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Toy images of 128 px of two classes in two splits, with a leak, a copy, a blank, a tiny and a blurred image."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    images = draw(np.arange(16).repeat(2), rng).transpose(0, 2, 3, 1)
    big = [Image.fromarray(np.ascontiguousarray(each)).resize((128, 128), Image.Resampling.NEAREST) for each in images]
    noise = [Image.fromarray(rng.integers(0, 255, (128, 128, 3), np.uint8)) for _ in big]
    files = {f"{i}.png": Image.blend(one, other, 0.2) for i, (one, other) in enumerate(zip(big, noise, strict=True))}
    files |= {
        "leak.jpg": files["0.png"],
        "<copy>.png": files["2.png"],
        "blank.png": Image.new("RGB", (128, 128), "white"),
    }
    files |= {
        "tiny.png": files["4.png"].resize((40, 40)),
        "blurred.png": files["6.png"].resize((12, 12)).resize((128, 128)),
    }
    rows = []
    for name, image in files.items():
        image.save(root / name, quality=60)
        rows.append((name, "ab"[len(rows) % 2], "test" if name in ("0.png", "1.png") else "train"))
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([ROWS, *rows])
    return root


@pytest.fixture
def data(photos, tmp_path, coarsecon):
    out = tmp_path / "data"
    words = ("--table", photos / "table.csv", "--size", 112, "--workers", 1, "--out", out)
    assert coarsecon("prepare", "folder", *words).code == 0
    return out


def read(path) -> dict[str, tuple[str, ...]]:
    """The first problem of each image."""
    found: dict[str, tuple[str, ...]] = {}
    with path.open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["path"], (row["problem"], row["proposal"], row["with"]))
    return found


def test_planted_problems_are_found_and_excluded(data, photos, coarsecon):
    done = coarsecon("data", "audit", data, "--workers", 1, "--json", data.parent / "audit.json")
    assert done.code == 0, done.err
    assert "1 test image has a near-duplicate in train (leakage)" in done.err.replace("\n", " ")
    table = data.with_name("data-audit.csv")
    assert read(table) == {
        "leak.jpg": ("leakage", "exclude", "0.png"),
        "<copy>.png": ("duplicate", "exclude", "2.png"),
        "blank.png": ("blank", "exclude", ""),
        "tiny.png": ("tiny", "review", ""),
        "blurred.png": ("blurred", "review", ""),
    } | {key: value for key, value in read(table).items() if value[0] == "near-duplicate"}
    found = json.loads((data.parent / "audit.json").read_text())
    assert found["leakage"] == {"train/test": 1}
    assert found["problems"]["duplicate"] == 1
    assert found["skipped"] == {"wrong label": "needs a run", "outlier": "needs a run"}
    assert found["near_duplicates"]["altered_copies_found"]["compressed to JPEG quality 60"] > 0.9

    clean = data.with_name("clean")
    words = ("--table", photos / "table.csv", "--size", 112, "--workers", 1, "--exclude", table, "--out", clean)
    done = coarsecon("prepare", "folder", *words)
    assert done.code == 0, done.err
    done = coarsecon("data", "audit", clean, "--workers", 1, "--json", "-")
    assert json.loads(done.out)["proposals"]["exclude"] == 0


def test_the_page_is_self_contained_and_escapes_names(data, coarsecon):
    assert coarsecon("data", "audit", data, "--workers", 1, "--html", data.parent / "page.html").code == 0
    text = (data.parent / "page.html").read_text()
    assert "&lt;copy&gt;.png" in text
    assert "<copy>" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_an_existing_table_is_only_replaced_on_request(data, coarsecon):
    table = data.with_name("data-audit.csv")
    table.write_text("mine")
    done = coarsecon("data", "audit", data, "--workers", 1)
    assert done.code == 2
    assert "already exists; choose another file (--csv), or pass --overwrite to replace it" in done.err
    assert table.read_text() == "mine"
    assert coarsecon("data", "audit", data, "--workers", 1, "--overwrite").code == 0
    assert table.read_text().startswith("path,split,problem")


def test_a_run_checks_labels_and_finds_outliers(tiny_data, tiny_run, coarsecon, tmp_path):
    files = ("--csv", tmp_path / "out.csv", "--html", tmp_path / "out.html")
    done = coarsecon("data", "audit", tiny_data, tiny_run, *files, "--json", "-", "--workers", 1, "--device", "cpu")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["near_duplicates"]["by"] == "features"
    assert {"wrong label", "outlier"} <= found["problems"].keys()
    assert [test["kind"] for test in found["label_tests"]][:2] == ["random", "similar"]
    assert all(0 <= (test["precision"] or 0) <= 1 for test in found["label_tests"])
    assert found["skipped"] == {"tiny": "the dataset does not store the original size of its images"}


def test_wrong_settings_are_errors_that_name_the_option(tiny_data, coarsecon):
    assert "level: " in coarsecon("data", "audit", tiny_data, "--level", "no").err.replace("--level", "level")
    assert coarsecon("data", "audit", tiny_data, "--near", 65).code == 2
