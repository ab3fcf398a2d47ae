"""The hierarchy of label levels, and the distance of classes in it, against naive references."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from coarsecon.data.prepared.hierarchy import Hierarchy, find_hierarchy, refinement

PARENTS = {"product": [0, 0, 1, 1, 2, 2, 3], "category": [0, 0, 1, 1]}
LEVELS = ("department", "category", "product")


def columns(images: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Labels of three levels, `images` of each product in random order."""
    product = torch.from_numpy(np.random.default_rng(seed).permutation(np.arange(7).repeat(images)))
    category = torch.tensor(PARENTS["product"])[product]
    return {"product": product, "department": torch.tensor(PARENTS["category"])[category], "category": category}


def found(labels: dict[str, Tensor]) -> Hierarchy:
    return find_hierarchy(labels, {level: int(column.max()) + 1 for level, column in labels.items()})


def path_to_root(hierarchy: Hierarchy, label: int) -> list[tuple[str, int]]:
    """The nodes above a class of the finest level, itself first, followed one parent at a time."""
    path = []
    for level in reversed(hierarchy.levels):
        path.append((level, label))
        label = int(hierarchy.parents[level][label])
        if label < 0:
            break
    return path


def naive_height(hierarchy: Hierarchy, first: int, second: int) -> int:
    """The number of steps from the finest level up to the first node on both paths."""
    one, other = (path_to_root(hierarchy, label) for label in (first, second))
    return next((height for height, node in enumerate(one) if node in other), len(hierarchy.levels))


def test_levels_are_ordered_from_the_coarsest_to_the_finest() -> None:
    hierarchy = found(columns())
    assert hierarchy.levels == LEVELS
    assert {level: parents.tolist() for level, parents in hierarchy.parents.items()} == {
        "department": [0, 0],
        **PARENTS,
    }
    assert not hierarchy.contradictions
    assert not hierarchy.outside


def test_the_distance_is_the_height_of_the_lowest_common_ancestor() -> None:
    hierarchy = found(columns())
    every = torch.arange(7)
    distances = hierarchy.distance(every[:, None], every)
    expected = [[naive_height(hierarchy, i, j) for j in range(7)] for i in range(7)]
    assert distances.tolist() == expected
    assert [distances[0, i].item() for i in (0, 1, 2, 4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_is_an_ultrametric(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.sort(rng.choice(np.arange(2, 12), size=4, replace=False))
    parents = {f"level{i}": torch.from_numpy(rng.integers(-1, sizes[i - 1] if i else 1, sizes[i])) for i in range(4)}
    hierarchy = Hierarchy(tuple(parents), parents)
    every = torch.arange(int(sizes[-1]))
    distances = hierarchy.distance(every[:, None], every)
    assert torch.equal(distances, distances.T)
    assert torch.equal(distances == 0, torch.eye(len(every), dtype=torch.bool))
    for i, j, k in itertools.product(range(len(every)), repeat=3):
        assert distances[i, k] <= max(distances[i, j], distances[j, k])
        assert distances[i, j] == naive_height(hierarchy, i, j)


def test_an_unknown_class_has_no_distance() -> None:
    hierarchy = found(columns())
    assert hierarchy.distance(torch.tensor([-1, 0, -1, 1]), torch.tensor([0, -1, -1, 1])).tolist() == [-1, -1, -1, 0]


def test_unknown_labels_do_not_count() -> None:
    labels = columns(images=20)
    rng = torch.Generator().manual_seed(0)
    hidden = {
        level: torch.where(torch.rand(len(column), generator=rng) < 0.4, -1, column) for level, column in labels.items()
    }
    assert found(hidden).levels == LEVELS
    assert {level: parents.tolist() for level, parents in found(hidden).parents.items()} == {
        "department": [0, 0],
        **PARENTS,
    }


def test_few_contradictions_are_listed() -> None:
    labels = columns(images=50)
    product = labels["product"]
    wrong = (product == 0).nonzero().flatten()[:2]
    labels["category"][wrong] = 2
    hierarchy = found(labels)
    assert hierarchy.levels == LEVELS
    assert hierarchy.parents["product"].tolist() == PARENTS["product"]
    listed = [(pair.finer, pair.coarser, pair.contradicting.tolist()) for pair in hierarchy.contradictions]
    assert listed == [("category", "department", wrong.tolist())]
    assert hierarchy.contradictions[0].images == 350


def test_an_image_that_contradicts_several_pairs_is_listed_once() -> None:
    labels = columns(images=50)
    wrong = (labels["product"] == 0).nonzero().flatten()[:1]
    labels["department"][wrong] = 1  # contradicts both category and product
    assert [pair.contradicting.tolist() for pair in found(labels).contradictions] == [wrong.tolist()]


def test_many_contradictions_leave_a_level_out() -> None:
    labels = columns(images=10)
    labels["category"][(labels["product"] == 0).nonzero().flatten()[:5]] = 2
    hierarchy = found({"coarse": labels["category"], "fine": labels["product"]})
    assert hierarchy.levels == ("coarse",)
    outside = hierarchy.outside["fine"]
    assert outside.reason == "neither refines coarse nor is refined by it"
    assert outside.nearest is not None
    assert len(outside.nearest.contradicting) == 5


def test_a_rare_class_is_refined_only_where_the_labels_show_it() -> None:
    """A level whose largest class holds nearly all images is contradicted by few images, whatever refines it."""
    labels = columns(images=100)
    defect = torch.zeros(700, dtype=torch.int64)
    defect[torch.randperm(700, generator=torch.Generator().manual_seed(0))[:4]] = 1
    assert found(labels | {"defect": defect}).levels == LEVELS


def test_levels_that_are_not_nested_stay_outside() -> None:
    labels = columns(images=50)
    others = {
        "color": torch.arange(350) % 3,
        "number": torch.arange(350),
        "dish": torch.zeros(350, dtype=torch.int64),
        "empty": torch.full((350,), -1),
        "article": 6 - labels["product"],
    }
    counts = {"product": 7, "category": 4, "department": 2, "color": 3, "number": 350, "dish": 1, "empty": 5}
    hierarchy = find_hierarchy(labels | others, counts | {"article": 7})
    assert hierarchy.levels in (LEVELS, ("department", "category", "article"))
    reasons = {level: outside.reason for level, outside in hierarchy.outside.items()}
    assert reasons["number"].startswith("has too few images per class to be compared with")
    assert reasons["color"].startswith("neither refines")
    assert (reasons["dish"], reasons["empty"]) == ("has a single class", "has no labels")
    assert "has the same classes as" in reasons.get("article", reasons.get("product", ""))


def test_coarse_and_fine_come_first() -> None:
    """A level that repeats the fine classes is left out, not the fine level."""
    labels = columns()
    names = {"coarse": labels["category"], "article": labels["product"].clone(), "fine": labels["product"]}
    assert found(names | {"department": labels["department"]}).levels == ("department", "coarse", "fine")


def test_partial_labels_inside_one_class_refine_it() -> None:
    """Names given to the clusters of one class so far."""
    labels = columns(images=20)
    reviewed = torch.where(labels["product"] == 0, torch.arange(140) % 2, -1)
    assert found(labels | {"reviewed": reviewed}).levels == (*LEVELS, "reviewed")


def test_levels_without_a_common_image_are_not_compared() -> None:
    labels = columns(images=20)
    half = torch.arange(140) < 70
    hierarchy = found({"coarse": labels["category"].where(half, -1), "fine": labels["product"].where(~half, -1)})
    assert hierarchy.levels == ("coarse",)
    assert hierarchy.outside["fine"].reason == "has no label on any image with a coarse label"


def test_a_restricted_hierarchy_skips_levels() -> None:
    hierarchy = found(columns()).restricted({"department", "product"})
    assert hierarchy.levels == ("department", "product")
    assert hierarchy.parents["product"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert hierarchy.distance(torch.tensor(0), torch.tensor([1, 2, 4])).tolist() == [1, 1, 2]
    assert found(columns()).restricted({"category"}).distance(torch.tensor(0), torch.tensor([0, 1])).tolist() == [0, 1]


def test_the_parent_is_the_class_of_most_images() -> None:
    labels = {"fine": torch.tensor([0, 0, 0, 1, 1, 2]), "coarse": torch.tensor([1, 0, 1, 1, 0, -1])}
    pair = refinement(labels, "fine", "coarse", 4)
    assert pair.parents.tolist() == [1, 0, -1, -1]
    assert pair.contradicting.tolist() == [1, 3]
    assert pair.images == 5


def test_many_classes_are_counted_without_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = found(columns())
    monkeypatch.setattr("coarsecon.data.prepared.hierarchy.MAX_TABLE", 0)
    assert found(columns()).levels == expected.levels
    assert all(torch.equal(found(columns()).parents[level], expected.parents[level]) for level in LEVELS)
