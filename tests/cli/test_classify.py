"""`coarsecon classify`: labels of images from the labeled ones, as a table, CSV, and JSON."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import coarsecon as package
from coarsecon.data.labels.columns import add_labels
from coarsecon.data.prepared.store import open_dataset

QUICK = ("--device", "cpu", "--workers", 0)


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """The tiny dataset with the column `reviewed`: fine labels of half of train, apart from those of two classes."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    dataset = open_dataset(data)
    fine, names = dataset.split("train").labels["fine"].tolist(), dataset.info.levels["fine"]
    add_labels(data, "reviewed", [(("train", i), names[each]) for i, each in enumerate(fine[:48]) if each < 14], "Ann")
    return data


@pytest.fixture
def photos(data: Path, tmp_path: Path) -> Path:
    """Images of the test split in folders of their coarse classes."""
    dataset = open_dataset(data)
    test = dataset.split("test")
    for i in range(8):
        folder = tmp_path / "photos" / dataset.info.levels["coarse"][int(test.labels["coarse"][i])]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(test.image(i)).save(folder / f"{i}.png")
    return tmp_path / "photos"


def test_unlabeled_images_of_the_dataset_are_classified_within_their_coarse_class(coarsecon, tiny_run, data, tmp_path):
    table = tmp_path / "found.csv"
    done = coarsecon("classify", tiny_run, "--data", data, "--labels", "reviewed", "--split", "train", *QUICK,
                     "--csv", table, "--json", tmp_path / "found.json")  # fmt: skip
    assert done.code == 0, done.err
    assert "expected on images of known classes, by cross-validation on" in done.err
    found = json.loads((tmp_path / "found.json").read_text())
    dataset = open_dataset(data)
    labels = dataset.split("train").labels
    assert len(found["images"]) == int((labels["reviewed"] < 0).sum())
    fine = dataset.info.levels["fine"]
    for image in found["images"]:
        index = dataset.split("train").names.index(image["path"])
        assert image["coarse"] == dataset.info.levels["coarse"][int(labels["coarse"][index])]
        assert all(fine.index(each["label"]) // 4 == labels["coarse"][index] for each in image["alternatives"])
        assert image["label"] in (None, image["alternatives"][0]["label"])
    assert list(found["expected"]) == ["with coarse class"]
    assert 0 <= found["expected"]["with coarse class"]["error"] <= 1
    rows = list(csv.DictReader(table.open()))
    assert [row["path"] for row in rows] == [image["path"] for image in found["images"]]
    done = coarsecon("labels", "import", data, table, "--name", "predicted", "--who", "model")
    assert done.code == 0, done.err
    labeled = sum(image["label"] is not None for image in found["images"])
    assert int((open_dataset(data).split("train").labels["predicted"] >= 0).sum()) == labeled


def test_files_are_classified_with_and_without_their_coarse_class(coarsecon, tiny_run, data, photos):
    common = ("classify", tiny_run, photos, "--data", data, "--labels", "reviewed", *QUICK, "--json", "-")
    free = json.loads(coarsecon(*common).out)
    assert list(free["expected"]) == ["without coarse class"]
    assert len(free["images"]) == 8
    limited = json.loads(coarsecon(*common, "--coarse-from-folder").out)
    assert list(limited["expected"]) == ["with coarse class"]
    assert all(image["coarse"] == Path(image["path"]).parent.name for image in limited["images"])
    one = json.loads(coarsecon(*common, "--coarse", "dots").out) if "dots" in str(limited) else None
    assert one is None or {image["coarse"] for image in one["images"]} == {"dots"}


def test_python_gives_the_results_of_the_command(coarsecon, tiny_run, data, photos):
    done = coarsecon("classify", tiny_run, photos, "--data", data, "--labels", "reviewed", *QUICK, "--json", "-")
    run = package.load(tiny_run, data=data, device="cpu", workers=0)
    found = package.classify(run, [photos], labels="reviewed")
    assert [each.to_json() for each in found] == json.loads(done.out)["images"]


def test_a_new_class_needs_labels_only(coarsecon, tiny_run, data, photos):
    fine = open_dataset(data).split("train").labels["fine"].tolist()
    run = package.load(tiny_run, data=data, device="cpu", workers=0)
    before = package.classify(run, [photos], labels="reviewed", known_rejected=0.0)
    assert "new" not in {label for each in before for label, _ in each.alternatives}
    add_labels(data, "reviewed", [(("train", i), "new") for i, each in enumerate(fine) if each == 15], "Ann")
    run = package.load(tiny_run, data=data, device="cpu", workers=0)
    assert "new" in {label for each in package.classify(run, [photos], labels="reviewed")
                     for label, _ in each.alternatives}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "other"], "has no 'other' labels; it has coarse, fine, reviewed"),
        (["--labels", "reviewed", "--labeled", "test"], "no image has a reviewed label; label some images first"),
        (["--labels", "fine"], "every image has a fine label; name images to classify"),
        (["photos", "--coarse", "nothing"], "--coarse: 'nothing' is no coarse class of"),
        (["nowhere.jpg"], "nowhere.jpg: no such image or folder"),
        (["--coarse", "dots"], "--coarse: is for image files"),
        (["photos", "--split", "train"], "--split: is for images of the dataset"),
    ],
)
def test_mistakes_are_errors_of_one_line(coarsecon, tiny_run, data, photos, monkeypatch, words, message):
    monkeypatch.chdir(photos.parent)
    done = coarsecon("classify", tiny_run, *words, "--data", data, *QUICK)
    assert done.code == 2, done.err
    assert message in done.err
