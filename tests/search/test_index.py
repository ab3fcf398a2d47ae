"""The index and its images: built, saved, loaded, queried; what is refused, and what a failure leaves."""

import hashlib
import json
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.runtime.locks import waiting_lock
from coarsecon.search import exact, index
from coarsecon.search.index import SearchIndex, index_recall
from coarsecon.search.items import ItemTable

COUNT, CLASSES = 2000, 20
APPROXIMATE = ["IVF16,Flat", "HNSW16", "IVF16,PQ8x4fs,RFlat"]


@pytest.fixture(scope="module")
def features() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(CLASSES, 16, generator=generator)
    return centers.repeat(COUNT // CLASSES, 1) + torch.randn(COUNT, 16, generator=generator)


@pytest.fixture(scope="module")
def items() -> ItemTable:
    return ItemTable(
        names=[f"{i}.jpg" for i in range(COUNT)],
        labels={"fine": [i % CLASSES for i in range(COUNT)]},
        class_names={"fine": [f"kind {i}" for i in range(CLASSES)]},
        fingerprint="encoder 1",
    )


@pytest.mark.parametrize("factory", ["Flat", *APPROXIMATE])
def test_a_saved_index_answers_as_before_and_keeps_its_images(
    tmp_path: Path, features: Tensor, items: ItemTable, factory: str
) -> None:
    built = SearchIndex.build(features, items, factory)
    built.save(tmp_path / "index")
    loaded = SearchIndex.load(tmp_path / "index")
    assert loaded.items == items
    assert loaded.exact == (factory == "Flat")
    assert torch.equal(loaded.query(features[:50], 10).indices, built.query(features[:50], 10).indices)


def test_flat_finds_the_exact_neighbors_with_cosines(features: Tensor, items: ItemTable) -> None:
    hits = SearchIndex.build(features, items).query(3 * features[:7], 5)
    unit = exact.l2_normalize(features)
    expected = (unit[:7] @ unit.T).topk(5)
    assert torch.equal(hits.indices, expected.indices)
    torch.testing.assert_close(hits.scores, expected.values)


@pytest.mark.parametrize("factory", APPROXIMATE)
def test_an_approximate_index_finds_most_neighbors_and_says_how_many(
    features: Tensor, items: ItemTable, factory: str
) -> None:
    recall = index_recall(SearchIndex.build(features, items, factory), features, k=10, sample=200)
    assert 0.7 < recall <= 1
    assert index_recall(SearchIndex.build(features, items), features, k=10, sample=200) == 1


def test_more_neighbors_than_images_are_all_images() -> None:
    features = torch.randn(5, 8)
    table = ItemTable(names=list("abcde"))
    for factory in ("Flat", "HNSW4"):
        assert SearchIndex.build(features, table, factory).query(features, 50).indices.shape == (5, 5)


@pytest.mark.parametrize("factory", ["", "Bogus", "IVF0,Flat", "IVF9999,Flat", "PQ7", "HNSW-3"])
def test_a_bad_factory_string_is_named_with_an_example(features: Tensor, items: ItemTable, factory: str) -> None:
    with pytest.raises(InputError, match="IVF64,Flat") as error:
        SearchIndex.build(features, items, factory)
    assert repr(factory) in str(error.value)


def test_as_many_images_as_vectors_and_numbers_as_the_index_has(features: Tensor, items: ItemTable) -> None:
    with pytest.raises(InputError, match=r"1999 vectors.*2000 images"):
        SearchIndex.build(features[1:], items)
    with pytest.raises(InputError, match="query has 15 dimensions, index has 16"):
        SearchIndex.build(features, items).query(features[:, 1:], 5)


def test_without_faiss_flat_works_and_others_name_the_package(
    tmp_path: Path, features: Tensor, items: ItemTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    SearchIndex.build(features, items, "HNSW16").save(tmp_path / "hnsw")
    monkeypatch.setattr(exact, "faiss", None)
    monkeypatch.setattr(index, "faiss", None)
    SearchIndex.build(features, items).save(tmp_path / "flat")
    assert SearchIndex.load(tmp_path / "flat").query(features[:3], 1).indices.flatten().tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="faiss-cpu"):
        SearchIndex.build(features, items, "HNSW16")
    with pytest.raises(InputError, match="faiss-cpu"):
        SearchIndex.load(tmp_path / "hnsw")


def test_the_size_of_pieces_changes_nothing(
    features: Tensor, items: ItemTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SearchIndex.build(features, items, "IVF16,Flat")
    recall = index_recall(whole, features, 5)
    monkeypatch.setattr(index, "ADD_BATCH_SIZE", 97)
    pieces = SearchIndex.build(features, items, "IVF16,Flat")
    assert torch.equal(pieces.query(features, 5).indices, whole.query(features, 5).indices)
    assert index_recall(pieces, features, 5) == recall


def test_the_recall_counts_true_neighbors_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    points = torch.randn(501, 8, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(index, "ADD_BATCH_SIZE", 100)  # the last piece is a single image
    made = SearchIndex.build(points, ItemTable(names=[str(i) for i in range(501)]), "IVF16,Flat")
    made.vectors.nprobe = 2
    scores = torch.nn.functional.normalize(points) @ torch.nn.functional.normalize(points).T
    true = scores.fill_diagonal_(-2).topk(10).indices
    found = made.query(points, 11).indices
    shares = [len(set(true[i].tolist()) & set(found[i].tolist())) / 10 for i in range(501)]
    assert 0.2 < sum(shares) / 501 < 0.95
    assert index_recall(made, points, 10) == pytest.approx(sum(shares) / 501, abs=1e-6)


def test_an_index_is_trained_on_a_bounded_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(index, "MAX_TRAINING_IMAGES", 700)
    points = torch.randn(2000, 8, generator=torch.Generator().manual_seed(1))
    made = SearchIndex.build(points, ItemTable(names=[str(i) for i in range(2000)]), "IVF16,PQ4x4,RFlat")
    assert index_recall(made, points, 10) > 0.5
    assert len(made.items) == made.vectors.ntotal == 2000


def test_a_folder_without_an_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing-here"):
        SearchIndex.load(tmp_path / "nothing-here")


@pytest.mark.parametrize(("factory", "file"), [("Flat", "features.safetensors"), ("HNSW16", "index.faiss")])
def test_a_damaged_index_is_refused_however_it_is_damaged(
    tmp_path: Path, features: Tensor, items: ItemTable, factory: str, file: str
) -> None:
    folder = tmp_path / "index"
    SearchIndex.build(features, items, factory).save(folder)
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="build the index again"):
        SearchIndex.load(folder)

    manifest = json.loads((folder / "items.json").read_text())
    manifest["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()  # damaged, yet as described
    (folder / "items.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="build the index again"):
        SearchIndex.load(folder)

    (folder / file).unlink()
    with pytest.raises(InputError, match="contains no index"):
        SearchIndex.load(folder)
    (folder / "items.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="build the index again"):
        SearchIndex.load(folder)


def test_saving_replaces_an_index_but_no_other_folder(tmp_path: Path, features: Tensor, items: ItemTable) -> None:
    built = SearchIndex.build(features, items)
    built.save(tmp_path / "index")
    SearchIndex.build(features, items, "HNSW16").save(tmp_path / "index")
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["index.faiss", "items.json"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    with pytest.raises(InputError, match="photos"):
        built.save(tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.jpg").exists()
    (tmp_path / "index" / "cat.jpg").write_text("")
    with pytest.raises(InputError, match=r"files that are not of an index \(cat.jpg\)"):
        built.save(tmp_path / "index")
    assert (tmp_path / "index" / "cat.jpg").exists()


def test_saving_an_index_waits_for_another_process_that_saves_one(
    tmp_path: Path, features: Tensor, items: ItemTable
) -> None:
    built, order = SearchIndex.build(features, items), []
    with waiting_lock(tmp_path / ".index.lock"):
        thread = threading.Thread(target=lambda: (built.save(tmp_path / "index"), order.append("saved")))
        thread.start()
        thread.join(0.3)
        order.append("released")
    thread.join(30)
    assert order == ["released", "saved"]
    assert len(SearchIndex.load(tmp_path / "index").items) == len(items)


def test_items_name_their_classes_where_known() -> None:
    table = ItemTable(names=["a", "b"], labels={"coarse": [1, -1]}, class_names={"coarse": ["x", "y"]})
    assert [table.label("coarse", i) for i in (0, 1)] == ["y", None]
    assert table.label("fine", 0) is None


@pytest.mark.parametrize("labels", [[0], [0, 2], [-2, 0]])
def test_labels_that_do_not_fit_the_images_or_classes_are_refused(labels: list[int]) -> None:
    with pytest.raises(InputError, match="fine labels"):
        ItemTable(names=["a", "b"], labels={"fine": labels}, class_names={"fine": ["x", "y"]})


def test_an_index_of_one_image_misses_nothing():
    pytest.importorskip("faiss")
    features = torch.ones(1, 4)
    assert index_recall(SearchIndex.build(features, ItemTable(names=["a"]), "HNSW32"), features, 5) == 1
