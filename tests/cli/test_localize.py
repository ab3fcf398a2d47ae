"""`coarsecon localize`: files, folders, a split, queries with their neighbors, and messages about wrong input."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

QUICK = ("--device", "cpu", "--workers", 0)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
    return folder


def test_files_and_folders(coarsecon, tiny_run, photos, tmp_path):
    png, path = tmp_path / "p.png", tmp_path / "p.json"
    done = coarsecon("localize", tiny_run, "--image", photos, "--png", png, "--json", path, *QUICK)
    assert done.code == 0, done.err
    assert f"wrote {png}" in done.err
    assert Image.open(png).height > 3 * 128
    found = json.loads(path.read_text())
    assert [entry["image"].rpartition("/")[2] for entry in found] == ["0.jpg", "1.jpg", "2.jpg"]
    heat = np.array(found[0]["heat"])
    assert heat.shape == (4, 4)
    assert (found[0]["low"], found[0]["high"]) == (heat.min(), heat.max())
    x, y = found[0]["hottest"]
    assert heat[int(y * 4), int(x * 4)] == heat.max()


def test_broken_files_of_a_folder_are_skipped_and_named(coarsecon, tiny_run, photos, tmp_path):
    (photos / "0.jpg").write_bytes(b"x")
    path = tmp_path / "p.json"
    done = coarsecon("localize", tiny_run, "--image", photos, "--png", tmp_path / "p.png", "--json", path, *QUICK)
    assert done.code == 0, done.err
    assert [entry["image"].rpartition("/")[2] for entry in json.loads(path.read_text())] == ["1.jpg", "2.jpg"]
    assert "skipped 1 of 3 images, which cannot be read: " in " ".join(done.err.split())
    only = coarsecon("localize", tiny_run, "--image", photos / "0.jpg", "--png", tmp_path / "q.png", *QUICK)
    assert only.code == 2
    assert "0.jpg: not a readable image" in " ".join(only.err.split())


def test_some_images_of_a_folder_are_a_sample_of_its_classes(coarsecon, tiny_run, tmp_path):
    for name in ("ants", "bees"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (40, 40), (9 * i, 0, 0)).save(tmp_path / "photos" / name / f"{i}.png")
    folder = ("--image", tmp_path / "photos", "--limit", 8, "--png", tmp_path / "p.png", "--json", "-")
    for more in ((), ("--neighbors", 1)):
        done = coarsecon("localize", tiny_run, *folder, *more, *QUICK)
        assert done.code == 0, done.err
        names = [entry["image"] for entry in json.loads(done.out) if "photos" in entry["image"]]
        assert len(names) == 8
        assert any("ants" in name for name in names)
        assert any("bees" in name for name in names)


def test_a_sample_of_the_split_goes_into_the_run(coarsecon, tiny_run):
    done = coarsecon("localize", tiny_run, "--limit", 5, "--layer", "backbone", "--json", "-", *QUICK)
    assert done.code == 0, done.err
    assert len(json.loads(done.out)) == 5
    assert (tiny_run / "figures" / "localize.png").is_file()


def test_neighbors_of_a_sample_and_of_a_file(coarsecon, tiny_run, photos, tmp_path):
    html = tmp_path / "p.html"
    arguments = ("--neighbors", 2, "--limit", 3, "--html", html, "--png", tmp_path / "p.png", "--json", "-")
    done = coarsecon("localize", tiny_run, *arguments, *QUICK)
    assert done.code == 0, done.err
    assert len(json.loads(done.out)) == 3 * 3
    assert html.read_text().count('class="heat"') == 3 * 3
    done = coarsecon("localize", tiny_run, "--image", photos / "1.jpg", *arguments, *QUICK)
    assert done.code == 0, done.err
    assert [entry["fine"] is None for entry in json.loads(done.out)] == [True, False, False]


def test_a_method_without_projector_is_localized_by_its_backbone(coarsecon, tiny_data, tmp_path):
    from tiny import tiny_settings

    from coarsecon.train.pretrain import pretrain
    from coarsecon.train.resolve import build_run_spec

    run = pretrain(build_run_spec(tiny_settings(tiny_data, "supce", schedule={"epochs": 1})), tmp_path / "run").root
    done = coarsecon("localize", run, "--limit", 2, *QUICK)
    assert done.code == 0, done.err
    assert "has no projector" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--image", "nowhere.png"], "nowhere.png"),
        (["--html", "page.html"], "--html: is written only with --neighbors; pass --neighbors too"),
        (["--split", "holdout"], "no split holdout"),
        (["--data", "nowhere"], "nowhere: the dataset of"),
    ],
)
def test_wrong_input_is_reported(coarsecon, tiny_run, arguments, says):
    done = coarsecon("localize", tiny_run, *arguments, *QUICK)
    assert done.code == 2
    assert says in done.err


def test_a_run_without_heads_falls_back_to_the_backbone_and_says_so(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    (run / "heads.safetensors").unlink()
    fallen = coarsecon("localize", run, "--limit", 2, "--json", "-", *QUICK)
    assert fallen.code == 0, fallen.err
    assert "there is no heads.safetensors; using the backbone's features" in fallen.err
    asked = coarsecon("localize", run, "--limit", 2, "--layer", "backbone", "--json", "-", *QUICK)
    assert json.loads(fallen.out) == json.loads(asked.out)
    refused = coarsecon("localize", run, "--limit", 2, "--layer", "projector", *QUICK)
    assert refused.code == 2
    assert "heads.safetensors" in refused.err


def test_the_former_spelling_of_neighbors_works_and_warns(coarsecon, tiny_run, tmp_path):
    words = ("localize", tiny_run, "--limit", 2, "--png", tmp_path / "p.png", "--json", "-", *QUICK)
    now, before = coarsecon(*words, "--neighbors", 1), coarsecon(*words, "--neighbours", 1)
    assert before.code == 0, before.err
    assert before.out == now.out
    assert "--neighbours is now called --neighbors" in before.err
    assert "--neighbours" not in coarsecon("localize", "--help").out
