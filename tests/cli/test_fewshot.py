"""`coarsecon fewshot`: the contract's JSON, caches, two runs, and messages about wrong input."""

import json
import shutil

import pytest

pytest.importorskip("sklearn")

SMALL = ("--queries", 2, "--episodes", 4, "--device", "cpu", "--workers", 0)


def values(done):
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_json_follows_the_contract_and_is_saved(coarsecon, tiny_run, tmp_path):
    path = tmp_path / "fewshot.json"
    done = coarsecon("fewshot", tiny_run, *SMALL, "--json", path)
    assert done.code == 0, done.err
    assert "5-way 1-shot" in done.out
    found = json.loads(path.read_text())
    assert 0 <= found["accuracy"] <= 1
    assert found["ci95"] >= 0
    assert (found["episodes"], found["ways"], found["shots"], found["support_copies"]) == (4, 5, 1, 5)
    saved = json.loads((tiny_run / "results" / "fewshot-queries=2-episodes=4.json").read_text())
    assert saved["split"] == "test"
    assert saved["accuracy"] == found["accuracy"]
    assert len(saved["by_episode"]) == 4
    assert sum(saved["by_episode"]) / 4 == pytest.approx(saved["accuracy"])


def test_copies_are_embedded_once_and_the_numbers_stay(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    shutil.rmtree(run / "features", ignore_errors=True)
    first = coarsecon("fewshot", run, *SMALL, "--json", "-")
    again = coarsecon("fewshot", run, *SMALL, "--json", "-")
    assert "copies of test" in first.err
    assert "copies of test" not in again.err
    assert values(first) == values(again)
    shutil.rmtree(run / "features")
    assert values(coarsecon("fewshot", run, *SMALL, "--json", "-")) == values(first)


@pytest.mark.parametrize("classifier", ["cosine", "nearest"])
def test_without_copies_it_is_the_library_on_the_features(coarsecon, tiny_run, tiny_data, classifier):
    from coarsecon.data.prepared.store import open_dataset
    from coarsecon.metrics.fewshot import Embedded, draw_episodes, few_shot, predictor
    from coarsecon.run.features import FeatureStore
    from coarsecon.run.folder import open_run

    dataset = open_dataset(tiny_data)
    features = FeatureStore(open_run(tiny_run)).split(dataset, "test")
    predict = predictor(Embedded(features, features[:, None]), classifier)
    expected = few_shot(predict, draw_episodes(dataset.split("test").labels["fine"], queries=2, episodes=4))
    found = values(
        coarsecon("fewshot", tiny_run, *SMALL, "--classifier", classifier, "--support-copies", 1, "--json", "-")
    )
    assert (found["accuracy"], found["ci95"]) == (expected.accuracy, expected.ci95)


def test_all_way_and_within_coarse(coarsecon, tiny_run):
    assert values(coarsecon("fewshot", tiny_run, *SMALL, "--ways", "all", "--json", "-"))["ways"] == 16
    assert values(coarsecon("fewshot", tiny_run, *SMALL, "--fine-within-coarse", "--json", "-"))["ways"] == 4


@pytest.mark.parametrize("combine", ["ensemble", "concat", "cascade"])
def test_two_runs(coarsecon, tiny_run, combine):
    found = values(coarsecon("fewshot", tiny_run, tiny_run, *SMALL, "--combine", combine, "--json", "-"))
    assert found["combine"] == combine
    assert found["coarse_by"] == ("logistic" if combine == "cascade" else None)
    if combine == "ensemble":  # with itself: the same probabilities
        alone = values(coarsecon("fewshot", tiny_run, *SMALL, "--json", "-"))
        assert found["accuracy"] == alone["accuracy"]


def test_a_cascade_takes_coarse_classes_from_the_first_runs_classifier(coarsecon, tiny_run, tiny_data, tmp_path):
    from tiny import tiny_settings

    from coarsecon.train.pretrain import pretrain
    from coarsecon.train.resolve import build_run_spec

    first = pretrain(
        build_run_spec(tiny_settings(tiny_data, "ancor", method={"queue_size": 20})), tmp_path / "ancor"
    ).root
    asked = ("--support-copies", 1, "--combine", "cascade", "--classifier", "cosine", "--json", "-")
    done = coarsecon("fewshot", first, tiny_run, *SMALL, *asked)
    assert values(done)["coarse_by"] == "classifier"
    assert "no classifier" not in done.err
    without = coarsecon("fewshot", tiny_run, first, *SMALL, *asked)
    assert "no classifier; coarse classes come from logistic regression" in without.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ways", "17", "--queries", "2"], "--ways: 17 exceeds the number of fine classes (16)"),
        (["--ways", "many"], "--ways: input should be a valid integer, or 'all' (got 'many')"),
        (["--ways", "1"], "--ways: input should be greater than or equal to 2, or 'all' (got '1')"),
        ([], "has 3 images"),
        ([], "use fewer shots or queries, or pass --skip-small"),
        (["--combine", "concat"], "RUN2: concat combines two runs"),
        (["--episodes", "1"], "--episodes"),
        (["--split", "holdout"], "no split holdout"),
    ],
)
def test_wrong_input_is_reported(coarsecon, tiny_run, arguments, says):
    done = coarsecon("fewshot", tiny_run, *arguments)
    assert done.code == 2
    assert says in done.err


def test_a_class_with_too_few_images_is_named(coarsecon, tiny_run, tiny_data):
    from coarsecon.data.prepared.store import open_dataset

    message = coarsecon("fewshot", tiny_run).err
    assert any(f"class {name}: has 3 images" in message for name in open_dataset(tiny_data).info.levels["fine"])


def test_classes_with_too_few_images_are_left_out_when_asked_to(coarsecon, tiny_data, tiny_run, tmp_path):
    from coarsecon.data.prepare.dataset import write_dataset
    from coarsecon.data.sources import SourceData, SplitData

    np = pytest.importorskip("numpy")
    data = tmp_path / "data"
    images = np.zeros((7, 3, 32, 32), np.uint8)
    labels = {"coarse": np.zeros(7, int), "fine": np.array([0, 0, 0, 1, 2, 2, 2])}
    names = {"coarse": ["all"], "fine": ["pug", "rare", "boxer"]}
    split = SplitData(labels, images)
    write_dataset(data, SourceData("dogs", 32, names, {"train": split, "test": split}))
    words = ("fewshot", tiny_run, "--data", data, "--ways", "all", "--queries", 2, "--episodes", 2)
    assert "class rare: has 1 image, but" in coarsecon(*words).err
    done = coarsecon(*words, "--skip-small", "--json", tmp_path / "f.json")
    assert done.code == 0, done.err
    assert "left out 1 fine class of fewer than 3 images" in done.err
    found = json.loads((tmp_path / "f.json").read_text())
    assert (found["ways"], found["skipped_classes"]) == (2, 1)
    assert "no class is left without 3 fine classes" in coarsecon(*words, "--skip-small", "--shots", 2).err


def test_evaluating_on_training_images_warns(coarsecon, tiny_run):
    words = ("fewshot", tiny_run, *SMALL, "--classifier", "cosine", "--support-copies", 1)
    assert "evaluating on the training split" in coarsecon(*words, "--split", "train").err
    assert "Warning: evaluating on" not in coarsecon(*words).err


def test_two_runs_need_a_way_to_combine_them(coarsecon, tiny_run):
    done = coarsecon("fewshot", tiny_run, tiny_run)
    assert done.code == 2
    assert "--combine" in done.err
    done = coarsecon("fewshot", tiny_run, tiny_run, "--combine", "ensemble", "--classifier", "cosine")
    assert done.code == 2
    assert "logistic" in done.err


def test_a_dataset_without_fine_labels_is_refused(coarsecon, tiny_run, tmp_path):
    from coarsecon.data.prepare.dataset import write_dataset
    from coarsecon.data.sources import SourceData, SplitData
    from coarsecon.data.sources.toy import COARSE, draw

    np = pytest.importorskip("numpy")
    splits = {
        name: SplitData(labels={"coarse": np.arange(8) % 4}, images=draw(np.arange(8), np.random.default_rng(0)))
        for name in ("train", "test")
    }
    write_dataset(tmp_path / "data", SourceData("coarse", 32, {"coarse": list(COARSE)}, splits))
    done = coarsecon("fewshot", tiny_run, "--data", tmp_path / "data")
    assert done.code == 2
    assert "fine label" in done.err
