"""`coarsecon tsne`: coordinates of every image, pictures and a page in the run, class weights among the features."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from tiny import tiny_settings, write_tiny_dataset

from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.report.projection import saved_map
from coarsecon.run.facade import Run
from coarsecon.run.folder import open_run
from coarsecon.run.spec import Runtime
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.fixture(scope="module")
def runs(tiny_data, tmp_path_factory):
    """Runs whose methods have class weights: of cross-entropy in the backbone's space, of ANCOR in the projector's."""
    folder = tmp_path_factory.mktemp("weights")
    settings = {"schedule": {"epochs": 1, "warmup_epochs": 0}}
    return {
        name: pretrain(build_run_spec(tiny_settings(tiny_data, name, **settings)), folder / name).root
        for name in ("supce", "ancor")
    }


def test_a_map_is_kept_in_the_run_with_its_pictures_and_its_page(coarsecon, tiny_run, tiny_data, tmp_path):
    done = coarsecon("tsne", tiny_run, "--perplexity", 5, "--seed", 2, "--json", tmp_path / "map.json")
    assert done.code == 0, done.err
    for kind in ("html", "png", "svg"):
        assert (tiny_run / "figures" / f"tsne-perplexity=5.0-seed=2.{kind}").stat().st_size > 5000
    record = json.loads((tmp_path / "map.json").read_text())
    images, split = record["images"], open_dataset(tiny_data).split("test")
    assert [image["name"] for image in images] == split.names
    assert record["how"] == "t-SNE, perplexity 5"
    assert {image["coarse"] for image in images} == set(open_dataset(tiny_data).info.levels["coarse"])
    assert np.isfinite([[image["x"], image["y"]] for image in images]).all()
    saved = json.loads((tiny_run / "results" / "tsne-perplexity=5.0-seed=2.json").read_text())
    assert saved["images"] == images
    assert (saved["split"], saved["layer"], saved["seed"]) == ("test", "backbone", 2)


def test_a_kept_map_can_be_drawn_again(coarsecon, tiny_run, tiny_data, tmp_path):
    assert coarsecon("tsne", tiny_run, "--method", "pca", "--limit", 20, "--png", tmp_path / "m.png").code == 0
    from coarsecon.runtime.progress import Reporter

    session = Run(open_run(tiny_run), None, runtime=Runtime("cpu", 0, Reporter()))
    drawn = saved_map(session, tiny_run / "results" / "pca-limit=20.json")
    split = open_dataset(tiny_data).split("test")
    assert len(drawn) == 20
    assert [level.name for level in drawn.levels] == ["coarse", "fine"]
    index = split.names.index(drawn.names[7])
    assert np.array_equal(drawn.pixels(7), split.image(index))
    assert drawn.levels[1].labels[7] == split.labels["fine"][index]


def test_maps_of_other_settings_live_side_by_side_and_the_report_shows_the_newest(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("figures", "results"))
    for place, limit in enumerate((20, 30)):
        assert coarsecon("tsne", run, "--method", "pca", "--limit", limit).code == 0
        os.utime(run / "results" / f"pca-limit={limit}.json", (place, place))
    assert len(list((run / "figures").glob("pca-limit=*.png"))) == 2
    assert coarsecon("report", run).code == 0
    assert "of 30 test images" in (run / "report.html").read_text()
    os.utime(run / "results" / "pca-limit=20.json", (2, 2))
    assert coarsecon("report", run).code == 0
    assert "of 20 test images" in (run / "report.html").read_text()


def test_a_map_of_training_images_is_told(coarsecon, tiny_run, tmp_path):
    words = ("tsne", tiny_run, "--method", "pca", "--svg", tmp_path / "m.svg")
    assert "evaluating on the training split" in coarsecon(*words, "--split", "train").err
    assert "Warning: evaluating on" not in coarsecon(*words).err


def test_only_what_is_asked_for_is_written(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("figures"))
    done = coarsecon("tsne", run, "--method", "pca", "--limit", 10, "--svg", tmp_path / "m.svg", "--json", "-")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["images"]) == 10
    assert "10 of the 48 images of test, drawn at random" in done.err
    assert (tmp_path / "m.svg").exists()
    assert not (run / "figures").exists()


@pytest.mark.parametrize(("name", "layer"), [("supce", "backbone"), ("ancor", "projector")])
def test_class_weights_lie_in_the_layer_they_belong_to(coarsecon, runs, name, layer, tmp_path):
    done = coarsecon(
        "tsne", runs[name], "--method", "pca", "--class-weights", "--svg", tmp_path / "m.svg", "--json", "-"
    )
    assert done.code == 0, done.err
    stars = json.loads(done.out)["class_weights"]
    assert [star["class"] for star in stars] == ["level stripes", "upright stripes", "checks", "rings"]
    stars = re.findall(r"<use [^>]*stroke: #1d1d1b", (tmp_path / "m.svg").read_text())
    assert len(stars) == 4
    suffix = "" if layer == "backbone" else f"-{layer}"
    file = runs[name] / "results" / f"pca{suffix}-class_weights=True.json"
    assert json.loads(file.read_text())["layer"] == layer


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--perplexity", "40"], "perplexity: 40 does not fit 48 images"),
        (["--method", "pca", "--perplexity", "5"], "--perplexity: pca has none"),
        (["--class-weights"], "--class-weights: the method maskcon has none"),
        (["--split", "nowhere"], "no split nowhere"),
        (["--data", "nowhere"], "--data"),
    ],
)
def test_wrong_input_is_told(coarsecon, tiny_run, arguments, says):
    done = coarsecon("tsne", tiny_run, *arguments)
    assert done.code == 2
    assert says in done.err


def test_class_weights_of_another_layer_or_of_other_classes_are_refused(coarsecon, runs, tiny_data, tmp_path):
    done = coarsecon("tsne", runs["ancor"], "--class-weights", "--layer", "backbone")
    assert done.code == 2
    assert "--class-weights: belong to the features of another layer; leave --layer out" in done.err
    shutil.copytree(tiny_data, tmp_path / "other")
    info = json.loads((tmp_path / "other" / "dataset.json").read_text())
    info["levels"]["coarse"][0] = "something else"
    (tmp_path / "other" / "dataset.json").write_text(json.dumps(info))
    done = coarsecon("tsne", runs["supce"], "--class-weights", "--method", "pca", "--data", tmp_path / "other")
    assert done.code == 2
    assert "other coarse classes" in done.err


def test_a_map_of_other_images_is_not_drawn_with_those_of_the_run(coarsecon, tiny_run, tmp_path):
    from coarsecon.runtime.progress import Reporter

    other = write_tiny_dataset(tmp_path / "other", test=40)
    assert coarsecon("tsne", tiny_run, "--data", other, "--method", "pca", "--png", tmp_path / "m.png").code == 0
    (kept,) = (tiny_run / "results").glob("pca*data=*.json")
    session = Run(open_run(tiny_run), None, runtime=Runtime("cpu", 0, Reporter()))
    with pytest.raises(InputError, match="no map of this dataset"):
        saved_map(session, kept)
