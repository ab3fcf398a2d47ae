"""`coarsecon retrieve`: metrics by the contract, searches with files and folders, galleries, and the saved index."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import COARSE


@pytest.fixture
def queries(tiny_data, tmp_path):
    """Three training images as files, in a folder."""
    folder = tmp_path / "queries"
    folder.mkdir()
    split = open_dataset(tiny_data).split("train")
    for i in (3, 4, 5):
        Image.fromarray(np.asarray(split.image(i))).save(folder / f"{i}.png")
    return folder


def test_metrics_follow_the_contract(coarsecon, tiny_run, tmp_path):
    path = tmp_path / "metrics.json"
    done = coarsecon("retrieve", tiny_run, "--json", path, "--device", "cpu")
    assert done.code == 0, done.err
    assert "fine" in done.out
    metrics = json.loads(path.read_text())
    assert list(metrics)[:2] == ["fine", "coarse"]
    for level, classes in (("fine", 16), ("coarse", 4)):
        values = metrics[level]
        assert values["queries"] == 48
        assert values["classes"] == classes
        recalls = [values[f"recall@{k}"] for k in (1, 2, 5, 10, 50, 100)]
        assert recalls == sorted(recalls)
        assert 0 <= values["map@r"] <= 1
    saved = json.loads((tiny_run / "results" / "retrieve.json").read_text())
    assert saved["split"] == "test"
    assert saved["fine"] == metrics["fine"]


def test_numbers_of_training_images_are_told_and_those_of_others_are_not(coarsecon, tiny_run, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "others")
    reported = " ".join(coarsecon("retrieve", tiny_run, "--split", "train").err.split())
    assert "Warning: evaluating on the training split" in reported
    for elsewhere in ([], ["--gallery-split", "train"], ["--split", "train", "--data", tmp_path / "others"]):
        assert "Warning: evaluating on" not in coarsecon("retrieve", tiny_run, *elsewhere).err


def test_json_on_stdout_stands_alone(coarsecon, tiny_run):
    assert json.loads(coarsecon("retrieve", tiny_run, "--json", "-").out)["fine"]["queries"] == 48


def test_features_are_extracted_once_and_again_when_the_encoder_changes(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    shutil.rmtree(run / "features", ignore_errors=True)
    assert "features of test" in coarsecon("retrieve", run).err
    assert "features of test" not in coarsecon("retrieve", run).err
    from safetensors.torch import load_file, save_file

    state = load_file(run / "encoder.safetensors")
    save_file({name: value * 1.5 for name, value in state.items()}, run / "encoder.safetensors")
    assert "features of test" in coarsecon("retrieve", run).err


@pytest.mark.parametrize("is_link", [False, True], ids=["folder", "link"])
def test_files_of_a_user_among_the_features_survive(coarsecon, tiny_run, tmp_path, is_link):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("features", ".features.files"))
    features = tmp_path / "elsewhere" if is_link else run / "features"
    features.mkdir()
    if is_link:
        (run / "features").symlink_to(features)
    names = {"mine.npy", "embeddings.safetensors", "movie.partial", "train-0123456789ab-0123456789ab.npy"}
    for name in names:
        (features / name).write_text("mine")
    done = coarsecon("retrieve", run, "--device", "cpu")
    assert done.code == 0, done.err
    assert {path.name for path in features.iterdir() if path.read_bytes() == b"mine"} == names


def test_a_query_is_not_its_own_neighbor_and_its_neighbors_are_shown(coarsecon, tiny_run, queries, tmp_path):
    html, png, path = tmp_path / "result.html", tmp_path / "result.png", tmp_path / "found.json"
    done = coarsecon(
        "retrieve", tiny_run, "--query", queries, "--top-k", 4, "--html", html, "--png", png, "--json", path
    )
    assert done.code == 0, done.err
    found = json.loads(path.read_text())
    assert all(len(row["neighbours"]) == 4 for row in found)
    for i, row in zip((3, 4, 5), found, strict=True):
        assert f"train-{i:06d}" not in [neighbor["name"] for neighbor in row["neighbours"]]
        scores = [neighbor["score"] for neighbor in row["neighbours"]]
        assert scores == sorted(scores, reverse=True)
    assert html.read_text().count("<img") == 3 * 5
    with Image.open(png) as picture:
        assert picture.height > 300
    assert f"wrote {html}" in done.err


def test_the_index_is_saved_with_its_images_and_loaded_back(coarsecon, tiny_run, queries):
    from coarsecon.search.index import SearchIndex

    first = coarsecon("retrieve", tiny_run, "--query", queries / "3.png", "--json", "-")
    index = SearchIndex.load(tiny_run / "index" / "train")
    assert len(index.items) == 96
    assert index.items.label("coarse", 0) in COARSE
    assert coarsecon("retrieve", tiny_run, "--query", queries / "3.png", "--json", "-").out == first.out


def test_an_approximate_index_tells_its_recall(coarsecon, tiny_run, queries):
    done = coarsecon("retrieve", tiny_run, "--query", queries, "--index", "HNSW8")
    assert done.code == 0, done.err
    assert "of the true neighbors" in done.err
    wrong = coarsecon("retrieve", tiny_run, "--query", queries, "--index", "Nonsense")
    assert wrong.code == 2
    assert "Nonsense" in wrong.err


def test_a_folder_of_images_can_be_the_gallery(coarsecon, tiny_run, queries):
    done = coarsecon("retrieve", tiny_run, "--query", queries / "4.png", "--gallery", queries, "--json", "-")
    found = json.loads(done.out)
    assert {Path(neighbor["name"]).name for neighbor in found[0]["neighbours"]} == {"3.png", "5.png"}
    assert "next:" not in done.err


def test_equal_files_of_a_gallery_are_the_query_whatever_they_are_called(coarsecon, tiny_run, queries, tmp_path):
    copy, other = tmp_path / "copy.png", tmp_path / "3.png"
    copy.write_bytes((queries / "4.png").read_bytes())
    other.write_bytes((queries / "5.png").read_bytes())
    for query, expected in ((copy, {"3.png", "5.png"}), (other, {"3.png", "4.png"})):
        done = coarsecon("retrieve", tiny_run, "--query", query, "--gallery", queries, "--json", "-")
        assert {Path(neighbor["name"]).name for neighbor in json.loads(done.out)[0]["neighbours"]} == expected


def test_broken_files_are_skipped_and_named(coarsecon, tiny_run, queries):
    content = (queries / "3.png").read_bytes()
    (queries / "cut.png").write_bytes(content[: len(content) // 2])
    (queries / "empty.jpg").touch()
    (queries / "notes.txt").write_text("x")
    for _ in range(2):  # the second time, features of the gallery are cached
        done = coarsecon("retrieve", tiny_run, "--query", queries, "--gallery", queries, "--json", "-")
        assert done.code == 0, done.err
        assert [Path(row["query"]).name for row in json.loads(done.out)] == ["3.png", "4.png", "5.png"]
        assert all(len(row["neighbours"]) == 2 for row in json.loads(done.out))
        reported = " ".join(done.err.split())
        assert reported.count("skipped 2 of 5 images, which cannot be read: ") == 2
        assert all(name in reported for name in ("cut.png: not a readable image", "empty.jpg: not a readable image"))
        assert "skipped 1 file that is not an image: 1 .txt" in reported


def test_a_gallery_of_broken_files_alone_is_an_error(coarsecon, tiny_run, queries, tmp_path):
    (tmp_path / "broken").mkdir()
    for i in range(2):
        (tmp_path / "broken" / f"{i}.jpg").write_bytes(b"x")
    done = coarsecon("retrieve", tiny_run, "--query", queries, "--gallery", tmp_path / "broken")
    assert done.code == 2
    assert "none of the 2 images can be read, the first: " in " ".join(done.err.split())


def test_neighbours_with_long_paths_fit_a_narrow_terminal(coarsecon, tiny_run, queries, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / ("long-" * 20) / ("path-" * 20)
    folder.parent.mkdir()
    queries.rename(folder)
    done = coarsecon("retrieve", tiny_run, "--query", folder / "3.png", "--gallery", folder)
    assert max(map(len, done.out.splitlines())) <= 80
    assert re.search(r"│ [01]\.\d{3}  *│$", done.out, re.MULTILINE), done.out
    assert "fine" not in done.out, "columns without labels are left out"
    assert re.search("cosine .*fine .*coarse", coarsecon("retrieve", tiny_run, "--query", folder / "3.png").out)


def test_examples_of_the_test_split_on_a_page(coarsecon, tiny_run, tmp_path):
    html = tmp_path / "examples.html"
    assert coarsecon("retrieve", tiny_run, "--html", html, "--top-k", 3).code == 0
    assert html.read_text().count("<img") == 24 * 4


def test_the_best_encoder_can_be_asked_for(coarsecon, tiny_run):
    assert coarsecon("retrieve", tiny_run, "--encoder", "best").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--query", "nowhere.png"], "nowhere.png"),
        (["--gallery", "."], "--gallery: a folder of images has no labels to score; pass --query"),
        (["--index", "HNSW8"], "--index: metrics are always exact; pass --query"),
        (["--gallery-split", "nothing"], "no split nothing"),
        (["--gallery-data", "nowhere"], "nowhere"),
        (["--query", "a.png", "--gallery-split", "train"], "--gallery-split"),
        (["--split", "holdout"], "no split holdout"),
        (["--data", "nowhere"], "--data"),
    ],
)
def test_wrong_input_is_told(coarsecon, tiny_run, arguments, says):
    done = coarsecon("retrieve", tiny_run, *arguments)
    assert done.code == 2
    assert says in done.err


def test_a_damaged_encoder_is_told(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    (run / "encoder.safetensors").write_bytes(b"\x10\x00")
    done = coarsecon("retrieve", run)
    assert done.code == 2
    assert "encoder.safetensors" in done.err


def test_a_query_that_is_no_image_is_told(coarsecon, tiny_run, tmp_path):
    fake = tmp_path / "fake.png"
    fake.write_text("not an image")
    done = coarsecon("retrieve", tiny_run, "--query", fake)
    assert done.code == 2
    assert "fake.png" in done.err


def test_a_query_that_the_dataset_was_prepared_from_is_judged_by_its_labels(coarsecon, tmp_path):
    from tiny import tiny_settings

    from coarsecon.train.pretrain import pretrain
    from coarsecon.train.resolve import build_run_spec

    rng = np.random.default_rng(0)
    for i in range(40):
        folder = tmp_path / "photos" / ("bags" if i % 2 else "shoes")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / f"{i // 2}.png")
    coarsecon("prepare", "folder", "--source", tmp_path / "photos", "--size", 32, "--out", tmp_path / "data")
    run = pretrain(build_run_spec(tiny_settings(tmp_path / "data", schedule={"epochs": 1})), tmp_path / "run").root
    html = tmp_path / "page.html"
    known, unknown = tmp_path / "photos" / "shoes" / "3.png", tmp_path / "elsewhere" / "shoes" / "3.png"
    unknown.parent.mkdir(parents=True)
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(unknown)
    found = json.loads(coarsecon("retrieve", run, "--query", known, "--html", html, "--json", "-").out)
    assert "same coarse class" in html.read_text()
    assert len(found[0]["neighbours"]) == 10
    assert "shoes/3.png" not in [neighbour["name"] for neighbour in found[0]["neighbours"]]
    moved = tmp_path / "moved.png"
    moved.write_bytes(known.read_bytes())
    again = json.loads(coarsecon("retrieve", run, "--query", moved, "--html", html, "--json", "-").out)
    assert again[0]["neighbours"] == found[0]["neighbours"]
    assert "same coarse class" in html.read_text()
    found = json.loads(coarsecon("retrieve", run, "--query", unknown, "--top-k", 40, "--html", html, "--json", "-").out)
    assert "same coarse class" not in html.read_text()
    assert "shoes/3.png" in [neighbour["name"] for neighbour in found[0]["neighbours"]]
    assert len(found[0]["neighbours"]) == 40


def test_leaving_one_query_out_of_a_small_gallery_costs_the_others_nothing():
    import torch

    from coarsecon.pictures.rows import Picture
    from coarsecon.search.collection import Collection, gallery_rows
    from coarsecon.search.index import Neighbors
    from coarsecon.search.items import ItemTable

    pixels = np.zeros((4, 4, 3), np.uint8)
    gallery = Collection(torch.eye(3), ItemTable(names=["a", "b", "c"]), lambda _: pixels)
    hits = Neighbors(torch.tensor([[0.9, 0.8, 0.7]] * 2), torch.tensor([[0, 1, 2]] * 2))
    rows = gallery_rows([Picture(pixels, "q")] * 2, gallery, hits, 10, [{1}, ()])
    assert [[n.picture.name for n in row.neighbors] for row in rows] == [["a", "c"], ["a", "b", "c"]]


def test_queries_of_one_split_in_another(coarsecon, tiny_run):
    done = coarsecon("retrieve", tiny_run, "--gallery-split", "train", "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["fine"]["queries"] == 48
    saved = json.loads((tiny_run / "results" / "retrieve-in-train.json").read_text())
    assert (saved["split"], saved["gallery"]) == ("test", "train")
    assert "Retrieval of test in train" in coarsecon("retrieve", tiny_run, "--gallery-split", "train").out


def test_queries_in_another_dataset(coarsecon, tiny_run, tmp_path):
    from tiny import write_tiny_dataset

    write_tiny_dataset(tmp_path / "others", test=32)
    done = coarsecon("retrieve", tiny_run, "--gallery-data", tmp_path / "others")
    assert done.code == 0, done.err
    assert "Retrieval of test in others-test" in done.out


def test_coarse_classes_are_shown_the_worst_first(coarsecon, tiny_run, tmp_path):
    done = coarsecon("retrieve", tiny_run, "--json", tmp_path / "metrics.json")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    rows = metrics["by_coarse_class"]
    assert {row["name"] for row in rows} == set(COARSE)
    places = [done.out.index(f"│ {row['name']} ") for row in rows]
    assert places == sorted(places)
    total = sum(row["fine"]["recall@1"] * row["fine"]["queries"] for row in rows)
    assert total / 48 == pytest.approx(metrics["fine"]["recall@1"])
    assert metrics["fine_within_coarse"]["recall@1"] >= metrics["fine"]["recall@1"]


def test_fine_within_coarse_has_a_value_with_and_without_coarse_classes_of_one_fine_class(
    coarsecon, tiny_run, tmp_path
):
    levels = {"coarse": ["a", "b"], "fine": ["a1", "a2", "b1"]}
    fine = np.arange(24) % 3
    images = np.random.default_rng(0).integers(0, 256, (24, 3, 32, 32), np.uint8)
    part = SplitData({"fine": fine, "coarse": fine // 2}, images)
    lonely = SplitData({"fine": np.array([0, 0, 1, 2]), "coarse": np.array([0, 0, 0, 1])}, images[:4])
    write_dataset(tmp_path / "data", SourceData("kinds", 32, levels, {"train": part, "test": part, "few": lonely}))
    done = coarsecon("retrieve", tiny_run, "--data", tmp_path / "data", "--json", tmp_path / "metrics.json")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    counts = ("queries", "classes", "coarse_classes")
    assert [metrics["fine_within_coarse"][name] for name in counts] == [16, 2, 1]
    assert [metrics["fine_within_coarse_all_queries"][name] for name in counts] == [24, 3, 2]
    share = metrics["fine_within_coarse"]["recall@1"] * 16 + 8
    assert metrics["fine_within_coarse_all_queries"]["recall@1"] == pytest.approx(share / 24)
    assert re.search(r"coarse classes.* 1 .* 2 ", done.out)
    assert "no other image" not in done.err
    reported = coarsecon("retrieve", tiny_run, "--data", tmp_path / "data", "--split", "few").err
    assert "2 of 4 queries have no other image of their fine class in the gallery (2 classes: a2, b1)" in " ".join(
        reported.split()
    )


def test_a_gallery_of_one_image_is_found(coarsecon, tiny_run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    labels = {"fine": np.array([0, 0, 0, 1]), "coarse": np.array([0, 0, 0, 1])}
    one = SplitData({level: column[:1] for level, column in labels.items()}, images[:1] // 2)
    levels = {"coarse": ["a", "b"], "fine": ["a1", "b1"]}
    splits = {"train": SplitData(labels, images), "test": SplitData(labels, images), "one": one}
    write_dataset(tmp_path / "data", SourceData("kinds", 32, levels, splits))
    done = coarsecon("retrieve", tiny_run, "--data", tmp_path / "data", "--gallery-split", "one", "--json", "-")
    metrics = json.loads(done.out)
    for level in ("fine", "coarse"):
        assert (metrics[level]["recall@1"], metrics[level]["map@r"]) == (0.75, 1)
        assert metrics[level]["queries_without_match"] == 1
    assert metrics["fine_within_coarse_all_queries"]["recall@1"] == 0.75


def test_a_run_that_is_not_finished_is_told(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "stopped"
    shutil.copytree(tiny_run, run)
    assert "not finished" not in coarsecon("retrieve", run, "--device", "cpu").err
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("epochs: 2\n", "epochs: 9\n", 1))
    reported = coarsecon("retrieve", run, "--device", "cpu").err
    assert f"{run} is not finished: at epoch 2 of 9; to continue: coarsecon pretrain --out {run} --resume" in reported
    shutil.rmtree(run / "checkpoints")
    assert "not finished" not in coarsecon("retrieve", run, "--device", "cpu").err
