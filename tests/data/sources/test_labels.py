"""The tables of labels hold what was published, entry for entry."""

import csv
import json
import lzma
import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coarsecon.data.sources.labels import read_table

TABLES = sorted(path.stem for path in (Path(__file__).parents[3] / "coarse_labels").glob("*.csv"))


@pytest.fixture
def labels(shared: Path) -> Path:
    return shared / "labels"


def load(file: Path) -> Any:
    return json.loads(file.read_text())


def column(rows: list[dict[str, str]], name: str) -> list[int]:
    return [int(row[name]) for row in rows]


@pytest.mark.parametrize("name", TABLES)
def test_ids_are_numbered_without_gaps_and_each_has_one_name(name: str) -> None:
    rows = read_table(name)
    for level in ("fine", "coarse"):
        groups: dict[tuple[str, ...], set[tuple[int, str]]] = {}
        for row in rows:
            if level in row:
                group = tuple(row[key] for key in ("dataset",) if key in row)
                group += (row["split"],) if name == "cifartoy" else ()
                groups.setdefault(group, set()).add((int(row[level]), row[f"{level}_name"]))
        for pairs in groups.values():
            assert sorted(number for number, _ in pairs) == list(range(len(pairs)))
            assert all(label.strip() == label != "" for _, label in pairs)


def test_tables_are_small() -> None:
    folder = Path(__file__).parents[3] / "coarse_labels"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2_000_000


def test_every_table_is_told_of() -> None:
    text = (Path(__file__).parents[3] / "coarse_labels" / "README.md").read_text()
    assert [name for name in TABLES if f"`{name}.csv`" not in text] == []


def test_ilsvrc_classes_and_their_words(labels: Path) -> None:
    rows = read_table("imagenet")
    published = load(labels / "breeds" / "dataset_class_info.json")
    assert [[int(row["fine"]), row["wnid"], row["fine_name"]] for row in rows] == published
    index = load(labels / "imagenet_class_index.json")
    assert [row["wnid"] for row in rows] == [index[str(i)][0] for i in range(1000)]


def test_imagenet32_order_and_the_twelve_coarse_classes(labels: Path) -> None:
    rows = read_table("imagenet")
    to_fine = load(labels / "imagenet32" / "imagenet32_to_fine.json")
    assert {row["devkit_id"]: row["fine"] for row in rows} == {
        str(int(place) + 1): str(fine) for place, fine in to_fine.items()
    }
    to_coarse = load(labels / "imagenet32" / "imagenet_fine_to_coarse.json")
    assert {row["fine"]: int(row["coarse"]) for row in rows} == to_coarse
    sizes = Counter(column(rows, "coarse"))
    assert [sizes[i] for i in range(12)] == [61, 123, 59, 95, 60, 130, 70, 53, 105, 71, 93, 80]


def test_devkit_ids_are_those_of_the_validation_ground_truth() -> None:
    """The first ten lines of ILSVRC2012_validation_ground_truth.txt, and the classes of the first ten images."""
    fine = {int(row["devkit_id"]): int(row["fine"]) for row in read_table("imagenet")}
    lines = [490, 361, 171, 822, 297, 482, 13, 704, 599, 164]
    assert [fine[line] for line in lines] == [65, 970, 230, 809, 516, 57, 334, 415, 674, 332]


def test_imagenet100(labels: Path) -> None:
    assert [row["wnid"] for row in read_table("imagenet100")] == (labels / "imagenet100.txt").read_text().split()


def images(rows: list[dict[str, str]]) -> Iterator[tuple[str, int, int]]:
    first = int(rows[0]["fine"])
    for row in rows:
        folder = row["coarse_name"].replace(" ", "_") + "_final"
        for number in row["images"].split():
            yield f"{folder}/{row['fine_name']}_{number}.JPG", int(row["coarse"]), int(row["fine"]) - first


@pytest.mark.parametrize("name", ["sop-split1", "sop-split2"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_products_and_their_images(labels: Path, name: str, split: str) -> None:
    folder = labels / name.replace("-", "_")
    published = [load(folder / f"{split}_{part}.json") for part in ("path", "coarse_label", "fine_label")]
    rows = [row for row in read_table(name) if row["split"] == split]
    assert list(images(rows)) == list(zip(*published, strict=True))


def test_products_of_split_1_are_disjoint_and_those_of_split_2_the_same() -> None:
    for name, common in (("sop-split1", 0), ("sop-split2", 1498)):
        fine = {
            split: {row["fine"] for row in read_table(name) if row["split"] == split} for split in ("train", "test")
        }
        assert len(fine["train"] & fine["test"]) == common


def test_body_types_of_cars(labels: Path) -> None:
    io = pytest.importorskip("scipy.io")
    rows = read_table("cars196")
    assert {row["fine"]: int(row["coarse"]) for row in rows} == load(labels / "cars196" / "fine_to_coarse.json")
    names = io.loadmat(labels / "cars196" / "cars_meta.mat")["class_names"][0]
    assert [row["fine_name"] for row in rows] == [name.item() for name in names]
    body_types = {int(row["coarse"]): row["coarse_name"] for row in rows}
    assert [body_types[i] for i in range(8)] == [
        "cab", "sedan", "SUV", "convertible", "coupe", "hatchback", "wagon", "van",
    ]  # fmt: skip


def test_superclasses_of_cifar100(shared: Path) -> None:
    folder = shared / "data" / "cifar100"
    meta = pickle.loads((folder / "meta").read_bytes())  # noqa: S301
    skeleton = lzma.decompress((folder / "test.skeleton.xz").read_bytes())
    offset = load(folder / "manifest.json")["test"]["offset"]
    pickled = skeleton[:offset] + bytes(10_000 * 3072) + skeleton[offset:]  # black images: the labels are wanted
    batch = pickle.loads(pickled, encoding="bytes")  # noqa: S301
    rows = read_table("cifar100")
    assert [row["fine_name"] for row in rows] == meta["fine_label_names"]
    coarse = dict(zip(batch[b"fine_labels"], batch[b"coarse_labels"], strict=True))
    assert column(rows, "coarse") == [coarse[i] for i in range(100)]
    assert [row["coarse_name"] for row in rows] == [meta["coarse_label_names"][coarse[i]] for i in range(100)]


@pytest.mark.parametrize("dataset", ["living17", "nonliving26", "entity13", "entity30"])
@pytest.mark.parametrize("variant", ["none", "rand", "good", "bad"])
def test_breeds_superclasses_and_subclasses(labels: Path, dataset: str, variant: str) -> None:
    published = load(labels / "breeds" / "tables.json")[dataset][variant]
    rows = [row for row in read_table("breeds") if (row["dataset"], row["variant"]) == (dataset, variant)]
    ilsvrc = {row["wnid"]: row for row in read_table("imagenet")}
    domains = {"train": "both", "test": ""} if variant == "none" else {"train": "source", "test": "target"}
    for split, domain in domains.items():
        found: list[list[int]] = [[] for _ in published["superclasses"]]
        for row in rows:
            if row["domain"] == domain:
                found[int(row["coarse"])].append(int(ilsvrc[row["wnid"]]["fine"]))
                assert ilsvrc[row["wnid"]]["fine_name"].split(",")[0] == row["name"]
        assert found == (published[split] or [[] for _ in found])
    superclasses = {int(row["coarse"]): (row["coarse_wnid"], row["coarse_name"]) for row in rows}
    names = [name.split(",")[0] for name in published["names"]]
    assert [superclasses[i] for i in range(len(superclasses))] == [*zip(published["superclasses"], names, strict=True)]


def test_tieredimagenet_classes(labels: Path) -> None:
    words = {row["wnid"]: row["fine_name"] for row in read_table("imagenet")}
    rows = read_table("tieredimagenet")
    assert all(row["fine_name"] == words[row["wnid"]] for row in rows)
    for split, superclasses in (("train", 20), ("val", 6), ("test", 8)):
        chosen = [row for row in rows if row["split"] == split]
        with (labels / "tieredimagenet" / f"{split}.csv").open() as file:
            published = [row for row in csv.reader(file) if row]
        assert [[row["wnid"], row["coarse_wnid"]] for row in chosen] == published
        assert len({row["coarse"] for row in chosen}) == superclasses
        assert len({row["fine_name"] for row in chosen}) == len(chosen), "images are matched by name"
    nodes = dict(line.rstrip("\n").split("\t") for line in (labels / "breeds" / "node_names.txt").open())
    assert all(nodes.get(row["coarse_wnid"], row["coarse_name"]) == row["coarse_name"] for row in rows)
