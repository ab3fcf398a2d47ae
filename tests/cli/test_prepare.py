"""`coarsecon prepare`: its options reach the files, and what is hostile or in the way ends in one clear line."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import toy


@pytest.fixture
def photos(tmp_path, save_image):
    """Six photos of 200 x 150 px in two folders."""
    for i in range(6):
        save_image(tmp_path / "photos" / ("bags", "shoes")[i % 2] / f"{i}.jpg", (200, 150), i)
    return tmp_path / "photos"


def test_copies_have_the_wanted_size_and_kind(coarsecon, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(toy.SOURCE, "counts", {"train": 64, "test": 16})
    base = ["prepare", "folder", "--source", photos, "--size", "32"]
    done = coarsecon(*base, "--resize-shorter", "48", "--copies", "png", "--out", tmp_path / "png", "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["form"] == "files"
    for file in open_dataset(tmp_path / "png").split("train").files:
        with Image.open(file) as image:
            assert (image.format, image.size) == ("PNG", (64, 48))
    done = coarsecon(*base, "--copies", "png", "--out", tmp_path / "squares")
    assert done.code == 2
    assert "copies: images of up to 64 px become one array; pass --resize-shorter" in done.err
    done = coarsecon("prepare", "toy", "--resize-shorter", "48", "--out", tmp_path / "toy")
    assert done.code == 2
    assert "omit --resize-shorter and --copies" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "png"]


def test_broken_images_are_counted_or_left_out(coarsecon, photos, tmp_path):
    (photos / "bags" / "0.jpg").write_bytes(b"no image")
    (photos / "shoes" / "3.jpg").write_bytes((photos / "shoes" / "3.jpg").read_bytes()[:300])
    base = ["prepare", "folder", "--source", photos, "--size", "32", "--out", tmp_path / "out"]
    done = coarsecon(*base)
    assert done.code == 2
    assert "error: photos: 2 images cannot be read, the first: " in done.err
    assert done.err.count("not a readable image") == 3, "each one once, and the first in the error"
    assert not (tmp_path / "out").exists()
    done = coarsecon(*base, "--skip-broken", "--json", "-")
    reported = json.loads(done.out)
    assert reported["splits"]["train"] == {"count": 4, "broken": 2}
    assert "2 broken images were left out" in done.err
    assert len((tmp_path / "out" / "broken.csv").read_text().splitlines()) == 3


def test_an_image_of_a_billion_pixels_is_not_decoded(coarsecon, photos):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32_000, 32_000, 8, 0, 0, 0, 0))
    zeros = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    (photos / "bags" / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + zeros + chunk(b"IEND", b""))
    done = coarsecon("prepare", "folder", "--source", photos, "--out", photos.parent / "out")
    assert done.code == 2
    assert "huge.png" in done.err
    assert "32000 x 32000 px is more than is read" in done.err or "decompression bomb" in done.err


@pytest.mark.parametrize("form", ["array", "files"])
def test_a_full_disk_is_told_and_nothing_is_lost(coarsecon, photos, small_disk: Path, save_image, form):
    size = ["--size", "32"] if form == "array" else ["--size", "72"]
    out = small_disk / "data"
    assert coarsecon("prepare", "folder", "--source", photos, *size, "--out", out).code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for i in range(200):
        save_image(photos / "bags" / f"more{i}.png", (100, 100), 50 + i)
    (small_disk / "ballast").write_bytes(bytes(200_000))
    done = coarsecon("prepare", "folder", "--source", photos, *size, "--out", out, "--overwrite")
    assert done.code == 1
    assert "No space left on device" in done.err
    assert "--debug" not in done.err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert {path.name for path in small_disk.iterdir()} == {"data", "ballast"}


@pytest.mark.parametrize("words", [["prepare", "-h"], ["prepare", "folder", "-h"], ["datasets", "hf"]], ids=" ".join)
def test_help_texts_of_datasets_do_not_import_torch(words):
    code = (
        "import sys\nfrom coarsecon.cli.main import run\ntry:\n    run(sys.argv[1:])\n"
        "except SystemExit as end:\n    sys.exit(end.code or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


def test_prepare_lists_the_datasets_and_their_options(coarsecon):
    listed = coarsecon("prepare", "--help").out
    assert "tinyimagenet" in listed
    assert "--table" not in listed
    assert "--table" in coarsecon("prepare", "folder", "--help").out
    unknown = coarsecon("prepare", "folde", "--size", "32")
    assert (unknown.code, "did you mean folder?" in unknown.err) == (2, True)
    assert coarsecon("prepare").code == 2


def test_what_a_dataset_does_not_take_is_said(coarsecon, tmp_path):
    done = coarsecon("prepare", "cifar10", "--coarse-map", "map.csv", "--out", tmp_path / "out")
    assert done.code == 2
    assert "No such option: --coarse-map (see `coarsecon prepare cifar10 --help`)" in done.err


def test_columns_and_class_names_of_a_table_can_be_chosen(coarsecon, photos, tmp_path):
    table = photos / "table.csv"
    names = [file.relative_to(photos).as_posix() for file in sorted(photos.rglob("*.jpg"))]
    rows = [f"x{i},{name},{('NA', 'US')[i % 2]},{i % 3}" for i, name in enumerate(names)]
    table.write_text("\n".join(["image,where,country,label", *rows]))
    base = ["prepare", "folder", "--table", table, "--size", "32"]
    done = coarsecon(*base, "--out", tmp_path / "out")
    assert done.code == 2
    assert "no such file:" in done.err
    done = coarsecon(*base, "--path", "where", "--coarse", "country", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "column country: 3 of 6 labels are missing and stay unknown (3 NA); set keep_na if NA is" in done.err
    dataset = open_dataset(tmp_path / "out")
    assert dataset.info.levels["coarse"] == ["US"]
    assert dataset.split("train").labels["coarse"].tolist() == [-1, 0] * 3
    words = ("--path", "where", "--coarse", "country", "--keep-na", "--overwrite")
    done = coarsecon(*base, *words, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert open_dataset(tmp_path / "out").info.levels["coarse"] == ["NA", "US"]
    done = coarsecon(*base, "--path", "nowhere", "--out", tmp_path / "other")
    assert done.code == 2
    assert "no column nowhere; it has image, where, country, label" in done.err


def test_splits_are_reported_per_class(coarsecon, tmp_path, save_image):
    for i in range(30):
        save_image(tmp_path / "photos" / ("shoes" if i % 3 == 0 else "bags") / f"{i}.jpg", (50, 40), i)
    base = ["prepare", "folder", "--source", tmp_path / "photos", "--size", "32"]
    done = coarsecon(
        *base, "--split", "test=0.2,val=0.1", "--split-seed", "3", "--out", tmp_path / "out", "--json", "-"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["per_class"] == {
        "coarse": {"bags": {"train": 14, "val": 2, "test": 4}, "shoes": {"train": 7, "val": 1, "test": 2}}
    }
    done = coarsecon(*base, "--split", "test=0.2", "--out", tmp_path / "other")
    assert "Images per coarse class" in done.out
    assert "bags  │    16 │    4" in done.out
    assert "stratified by coarse label, seed 0" in done.err


def test_splits_of_many_classes_are_summarized(coarsecon, tmp_path, save_image):
    for i in range(40):
        for number in range(2 + 2 * (i == 0)):
            save_image(tmp_path / "photos" / f"class{i}" / f"{number}.jpg", (20, 20), 4 * i + number)
    done = coarsecon(
        *["prepare", "folder", "--source", tmp_path / "photos", "--size", "32", "--out", tmp_path / "out"],
        *["--split", "test=0.25"],
    )
    assert done.code == 0, done.err
    assert "Images per coarse class (40 classes)" in done.out
    assert "class3" not in done.out
    assert "20 coarse classes" in done.err
    assert "too small for a test image" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "test=0.9,val=0.2"], "--split: the fractions sum to 1.1, which leaves no image for train"),
        (["--split", "test=0.2", "--group", "animal"], "--group: names a column of a table"),
        (["--split", "test=0.2", "--group-pattern", "zebra"], "--group-pattern: no path matches 'zebra'"),
    ],
)
def test_wrong_splits_end_in_one_line(coarsecon, photos, tmp_path, options, message):
    done = coarsecon("prepare", "folder", "--source", photos, "--out", tmp_path / "out", *options)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()
