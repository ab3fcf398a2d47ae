"""Problems planted in real shop photos are found: recall and precision of each kind, printed as a table with `-s`.

A planted problem that is not found lowers recall. Everything else that is reported counts as a false alarm and lowers
precision, although some of it may be real: photos of a series, or look-alikes.
"""

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

import coarsecon
from coarsecon.report.audit import notes

CLASSES, TRAIN, TEST = 12, 24, 10
"""Largest coarse classes, and photos of each per split."""
COPIES, NOISE = 20, 0.05
"""Copies of each kind, and fraction of wrong labels."""
FLOORS = {
    "hash": {"compressed": (0.9, 0.7), "cropped": (0.5, 0.7), "brighter": (0.9, 0.7),
             "blank": (1, 1), "blurred": (0.8, 0.4)},
    "features": {
        "compressed": (0.9, 0.8), "cropped": (0.9, 0.8), "brighter": (0.9, 0.8), "wrong label": (0.7, 0.25),
        "relabel": (0.15, 0.4), "outlier": (0.7, 0.3), "blank": (1, 1), "blurred": (0.8, 0.4),
    },
}  # fmt: skip
"""Smallest recall and precision of each kind, by what finds near-duplicates."""


class Row(NamedTuple):
    path: str
    coarse: str
    split: str


class Planted(NamedTuple):
    """The prepared dataset, the original of each copy by the kind of alteration, and the other planted images."""

    data: Path
    copies: dict[str, dict[str, str]]
    others: dict[str, set[str]]


def compressed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = (round(side * 0.95) for side in image.size)
    left, top = rng.integers(0, image.width - width + 1), rng.integers(0, image.height - height + 1)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


def brighter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(float(rng.choice([0.8, 1.25])))


def plant(grocery: Path, root: Path) -> Planted:
    """Copy some photos, plant problems among them, and prepare the dataset."""
    rng = np.random.default_rng(0)
    with (grocery / "table.csv").open(encoding="utf-8") as file:
        rows = [Row(row["path"], row["coarse"], row["split"]) for row in csv.DictReader(file)]
    largest = [name for name, _ in Counter(row.coarse for row in rows if row.split == "train").most_common(CLASSES)]
    chosen = [
        row
        for name in largest
        for split, count in (("train", TRAIN), ("test", TEST))
        for row in spread([row for row in rows if (row.coarse, row.split) == (name, split)], count)
    ]
    for row in chosen:
        (root / row.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(grocery / row.path, root / row.path)
    order = rng.permutation(len(chosen)).tolist()
    copies: dict[str, dict[str, str]] = {}
    added: list[Row] = []

    def save(name: str, image: Image.Image, like: Row, split: str = "train") -> str:
        image.save(root / name, quality=60)
        added.append(Row(name, like.coarse, split))
        return name

    for kind in (compressed, cropped, brighter):
        copies[kind.__name__] = {}
        for i in range(COPIES):
            row = chosen[order.pop()]
            with Image.open(root / row.path) as image:
                name = save(f"{kind.__name__}-{i}.jpg", kind(image, rng), row, ("train", "test")[i % 2])
            copies[kind.__name__][name] = row.path
    others: dict[str, set[str]] = {"blurred": set(), "blank": set(), "outlier": set(), "wrong label": set()}
    for i in range(8):
        row = chosen[order.pop()]
        with Image.open(root / row.path) as image:
            others["blurred"].add(save(f"blurred-{i}.jpg", image.filter(ImageFilter.GaussianBlur(4)), row))
    for i in range(4):
        row = chosen[order.pop()]
        others["blank"].add(save(f"blank-{i}.jpg", Image.new("RGB", (128, 128), (250 - i, 240, 245)), row))
        noise = Image.fromarray(rng.integers(0, 255, (8 * 2**i, 8 * 2**i, 3), np.uint8)).resize((128, 128))
        others["outlier"].add(save(f"outlier-{i}.jpg", noise, row))
    for _ in range(round(NOISE * len(chosen))):
        place = order.pop()
        row = chosen[place]
        wrong = str(rng.choice([name for name in largest if name != row.coarse]))
        chosen[place] = row._replace(coarse=wrong)
        others["wrong label"].add(row.path)
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Row._fields, *chosen, *added])
    coarsecon.prepare("folder", root / "data", table=root / "table.csv", size=128, workers=1)
    return Planted(root / "data", copies, others)


def spread(rows: list[Row], count: int) -> list[Row]:
    """Rows at even distances, which are rarely of one series."""
    return [rows[i * len(rows) // count] for i in range(min(count, len(rows)))]


def measured(found: "coarsecon.Audit", planted: Planted) -> dict[str, tuple[float, float]]:
    """Recall and precision of each kind of problem that is checked."""
    images, pairs = found.images, found.duplicates.found
    named = {
        frozenset(map(images.name, both)) for both in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    }
    wanted = {kind: {frozenset(pair) for pair in names.items()} for kind, names in planted.copies.items()}
    precision = len(named & set().union(*wanted.values())) / max(1, len(named))
    values = {kind: (len(named & pairs) / len(pairs), precision) for kind, pairs in wanted.items()}
    for problem, names in planted.others.items():
        if problem not in found.skipped:
            reported = {images.name(each.image) for each in found.of(problem)}
            values[problem] = len(reported & names) / len(names), len(reported & names) / max(1, len(reported))
    if found.labels is not None:
        replaced = {images.name(each.image) for each in found.findings if each.proposal == "relabel"}
        names = planted.others["wrong label"]
        values["relabel"] = len(replaced & names) / len(names), len(replaced & names) / max(1, len(replaced))
    return values


@pytest.fixture(scope="module")
def planted(shared, tmp_path_factory) -> Planted:
    return plant(shared / "data" / "grocery", tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def published_run(shared, tmp_path_factory) -> Path:
    """Published weights as a run."""
    from coarsecon.importers.convert import import_checkpoint

    file = shared / "data" / "weights" / "tf_efficientnet_lite0.fp16.safetensors"
    out = tmp_path_factory.mktemp("published") / "run"
    import_checkpoint(file, "timm", out, backbone="tf_efficientnet_lite0", size=128)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("by", FLOORS)
def test_planted_problems_are_found(by, planted, request):
    run = request.getfixturevalue("published_run") if by == "features" else None
    found = coarsecon.audit(planted.data, run, workers=1)
    values = measured(found, planted)
    print(f"\n| by {by} | recall | precision |\n| --- | ---: | ---: |")
    for kind, (recall, precision) in values.items():
        print(f"| {kind} | {recall:.0%} | {precision:.0%} |")
    print(*notes(found), sep="\n")
    assert values.keys() >= FLOORS[by].keys()
    low = {kind: values[kind] for kind, floors in FLOORS[by].items() if any(np.array(values[kind]) < floors)}
    assert low == {}
    assert len(found.of("leakage")) >= COPIES  # half of the copies are in another split
