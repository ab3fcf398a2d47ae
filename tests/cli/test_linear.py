"""`coarsecon linear`: JSON by the contract for sweep, presets and few labels, and wrong input."""

import json

import pytest


def test_the_sweep_follows_the_contract(coarsecon, tiny_run, tmp_path):
    path = tmp_path / "linear.json"
    done = coarsecon("linear", tiny_run, "--epochs", 2, "--json", path, "--device", "cpu")
    assert done.code == 0, done.err
    assert "held-out" in done.out
    metrics = json.loads(path.read_text())
    assert list(metrics) == ["fine", "coarse"]
    for level, classes in (("fine", 16), ("coarse", 4)):
        values = metrics[level]
        assert 0 <= values["top1"] <= values["top5"] <= 1
        assert (values["queries"], values["classes"], values["train_images"]) == (48, classes, 96)
    saved = json.loads((tiny_run / "results" / "linear-epochs=2.json").read_text())
    assert (saved["split"], saved["fine"]) == ("test", metrics["fine"])


def test_a_preset_tells_last_and_best_and_how_it_differs_from_the_paper(coarsecon, tiny_run):
    done = coarsecon("linear", tiny_run, "--preset", "supcon", "--lr", 1, "--epochs", 3, "--labels", "coarse")
    assert done.code == 0, done.err
    assert "best epoch on test" in done.out
    assert "picked on the images it is measured on" in done.err
    saved = json.loads((tiny_run / "results" / "linear-preset=supcon-labels=coarse-epochs=3-lr=1.0.json").read_text())[
        "coarse"
    ]
    assert (saved["lr"], saved["epochs"]) == (1, 3)
    assert saved["best"]["top1"] >= saved["top1"]
    assert 1 <= saved["best"]["epoch"] <= 3


def test_few_labels_a_class(coarsecon, tiny_run):
    words = ("linear", tiny_run, "--shots-per-class", 2, "--repeats", 3, "--epochs", 2, "--labels", "fine")
    done = coarsecon(*words, "--encoder", "best", "--json", "-")
    assert done.code == 0, done.err
    fine = json.loads(done.out)["fine"]
    assert (fine["train_images"], fine["repeats"], len(fine["draws"])) == (32, 3, 3)
    assert "±" in coarsecon(*words).out
    assert coarsecon(*words, "--encoder", "best", "--json", "-").out == done.out


@pytest.mark.parametrize("words", [["--finetune"], ["--augment", "--preset", "moco"]])
def test_random_views_are_learnt_from_and_saved_beside_the_other_results(coarsecon, tiny_run, words):
    fast = ("--epochs", 2, "--batch-size", 32, "--lr", 0.01, "--labels", "coarse", "--workers", 0, "--device", "cpu")
    done = coarsecon("linear", tiny_run, *words, *fast, "--json", "-")
    assert done.code == 0, done.err
    coarse = json.loads(done.out)["coarse"]
    assert 0 <= coarse["top1"] <= coarse["top5"] <= 1
    assert (coarse["epochs"], coarse["batch_size"], coarse["views"]) == (2, 32, "random")
    assert coarse["backbone_lr"] == (0.001 if words == ["--finetune"] else 0)
    (saved,) = (tiny_run / "results").glob(f"linear-*{words[0][2:]}=True*batch_size=32*.json")
    assert json.loads(saved.read_text())["coarse"] == coarse
    assert "picked on the images it is measured on" in done.err


def test_few_labels_are_fine_tuned_anew_for_every_draw(coarsecon, tiny_run):
    few = ("--finetune", "--shots-per-class", 2, "--repeats", 2, "--epochs", 1, "--labels", "fine", "--workers", 0)
    done = coarsecon("linear", tiny_run, *few, "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    fine = json.loads(done.out)["fine"]
    assert (fine["train_images"], fine["preset"], len(fine["draws"])) == (32, "finetune", 2)


def test_an_interrupted_fine_tuning_leaves_nothing(coarsecon, tiny_run, monkeypatch):
    from coarsecon.train import classifier

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "top_scores", interrupted)
    done = coarsecon("linear", tiny_run, "--finetune", "--epochs", 1, "--workers", 0, "--seed", 77)
    assert done.code == 130
    assert not list((tiny_run / "results").glob("*seed=77*"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--augment"], "--preset supcon"),
        (["--finetune", "--preset", "moco"], "leave out --preset"),
        (["--finetune", "--flip"], "leave out --layer and --flip"),
        (["--backbone-lr", "0.1"], "--finetune"),
        (["--finetune", "--backbone-lr", "0"], "--backbone-lr: 0.0"),
        (["--batch-size", "8"], "--batch-size"),
        (["--lr", "1"], "--preset"),
        (["--preset", "moco", "--lr", "-1"], "--lr: -1"),
        (["--preset", "other"], "--preset"),
        (["--shots-per-class", "99"], "labeled training images"),
        (["--shots-per-class", "99", "--labels", "coarse"], "class level stripes: has"),
        (["--shots-per-class", "1"], "use a preset"),
        (["--data", "nowhere"], "--data"),
    ],
)
def test_wrong_input_is_told(coarsecon, tiny_run, arguments, says):
    done = coarsecon("linear", tiny_run, *arguments)
    assert done.code == 2
    assert says in done.err
