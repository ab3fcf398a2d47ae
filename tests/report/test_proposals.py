"""The table and the pictures that propose fine labels, on images whose names are no friends of a spreadsheet."""

import csv
from dataclasses import replace
from io import StringIO

import numpy as np
import torch

from coarsecon.discovery.groups import Group
from coarsecon.discovery.number import Evidence
from coarsecon.evaluation.cluster import agreement_with_labels
from coarsecon.report import proposals
from coarsecon.report.proposals import proposed_table, shown
from coarsecon.search.collection import Collection
from coarsecon.search.items import ItemTable

ITEMS = ItemTable(
    names=["=cmd|' /c calc'!A1", "b.jpg", "c.jpg", "d.jpg", "e.jpg"],
    labels={"coarse": [1, 1, 1, 0, -1], "fine": [2, 0, 2, -1, 1]},
    class_names={"coarse": ["bags", "shoes"], "fine": ["boots", "clogs", "heels"]},
)
COLLECTION = Collection(torch.eye(5), ITEMS, lambda i: np.full((8, 8, 3), i, np.uint8))
GROUPS = [
    Group(
        0,
        torch.tensor([3]),
        torch.tensor([0]),
        torch.tensor([1.0]),
        torch.tensor([torch.nan]),
        torch.tensor([1.0]),
        torch.tensor([False]),
        Evidence({}, {}, {1: 0.6}),
    ),
    Group(
        1,
        torch.tensor([0, 1, 2]),
        torch.tensor([0, 1, 0]),
        torch.tensor([0.7, 1.0, 0.9]),
        torch.tensor([-0.1, 0.4, 0.25]),
        torch.tensor([0.5, 0.9, 0.8]),
        torch.tensor([True, False, False]),
    ),
]


def test_the_table_has_every_clustered_image_the_most_typical_first() -> None:
    rows = list(csv.DictReader(StringIO(proposed_table(GROUPS, COLLECTION, "coarse", "val"))))
    assert [row["path"] for row in rows] == ["d.jpg", "c.jpg", "'=cmd|' /c calc'!A1", "b.jpg"]
    assert [row["proposed"] for row in rows] == ["bags-1", "shoes-1", "shoes-1", "shoes-2"]
    assert [row["coarse"] for row in rows] == ["bags", "shoes", "shoes", "shoes"]
    assert [row["fine"] for row in rows] == ["", "heels", "heels", "boots"]
    assert [row["margin"] for row in rows] == ["", "0.25", "-0.1", "0.4"]
    assert [row["probability"] for row in rows] == ["1.0", "0.8", "0.5", "0.9"]
    assert [row["outlier"] for row in rows] == ["", "", "yes", ""]
    assert {row["split"] for row in rows} == {"val"}


def test_the_table_has_fine_names_without_the_coarse_class_so_that_it_prepares_to_the_same_classes() -> None:
    names = {**ITEMS.class_names, "fine": ["shoes/red", "clogs", "heels"]}
    collection = replace(COLLECTION, items=ITEMS.model_copy(update={"class_names": names}))
    rows = list(csv.DictReader(StringIO(proposed_table(GROUPS, collection, "coarse", "val"))))
    assert [row["fine"] for row in rows] == ["", "heels", "heels", "red"]


def test_numbers_are_overall_and_by_class() -> None:
    found = agreement_with_labels(GROUPS, COLLECTION, "coarse", ["fine", "coarse"])
    assert (found["fine"]["accuracy"], found["fine"]["images"], found["fine"]["clusters"]) == (1, 3, 2)
    bags, shoes = found["classes"]
    assert (bags["name"], bags["images"], bags["clusters"], bags["sizes"]) == ("bags", 1, 1, [1])
    assert bags["evidence"] == {"stability": {}, "silhouette": {}, "scores": {1: 0.6}}
    assert (shoes["sizes"], shoes["fine"]["ari"]) == ([2, 1], 1)
    assert "evidence" not in shoes
    assert (bags["outliers"], shoes["outliers"]) == (0, 1)


def test_clusters_are_shown_by_their_most_typical_images_and_fine_labels(monkeypatch) -> None:
    bags, shoes = shown(GROUPS, COLLECTION, "coarse", 1)
    assert (bags.name, bags.facts, bags.clusters[0].facts) == ("bags", "1 image in 1 cluster", ["1 image, 100%"])
    assert [cluster.name for cluster in shoes.clusters] == ["shoes-1", "shoes-2"]
    assert shoes.clusters[0].facts == ["2 images, 67%", "100% heels"]
    assert [picture.name for picture in shoes.clusters[0].pictures] == ["c.jpg"]
    monkeypatch.setattr(proposals, "LARGEST", 2)
    _, few = shown(GROUPS, COLLECTION, "coarse", 1)
    assert [cluster.name for cluster in few.clusters] == ["shoes-1"]
    assert "the largest 1 shown" in few.facts
