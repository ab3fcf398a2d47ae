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


def test_a_preset_reports_last_and_best_and_how_it_differs_from_the_paper(coarsecon, tiny_run):
    done = coarsecon("linear", tiny_run, "--preset", "supcon", "--lr", 1, "--epochs", 3, "--labels", "coarse")
    assert done.code == 0, done.err
    assert "best epoch on test" in done.out
    assert "chosen on the test images" in done.err
    saved = json.loads((tiny_run / "results" / "linear-preset=supcon-labels=coarse-epochs=3-lr=1.0.json").read_text())[
        "coarse"
    ]
    assert (saved["lr"], saved["epochs"]) == (1, 3)
    assert saved["best"]["top1"] >= saved["top1"]
    assert 1 <= saved["best"]["epoch"] <= 3


def test_few_labels_a_class(coarsecon, tiny_run):
    words = ("linear", tiny_run, "--shots-per-class", 2, "--repeats", 3, "--epochs", 2, "--labels", "fine")
    done = coarsecon(*words, "--checkpoint", "best", "--json", "-")
    assert done.code == 0, done.err
    fine = json.loads(done.out)["fine"]
    assert (fine["train_images"], fine["repeats"], len(fine["draws"])) == (32, 3, 3)
    assert "±" in coarsecon(*words).out
    assert coarsecon(*words, "--checkpoint", "best", "--json", "-").out == done.out


@pytest.mark.parametrize("words", [["--finetune"], ["--augment", "--preset", "moco"]])
def test_training_on_random_views_is_stored_apart_from_the_other_results(coarsecon, tiny_run, words):
    fast = ("--epochs", 2, "--batch-size", 32, "--lr", 0.01, "--labels", "coarse", "--workers", 0, "--device", "cpu")
    done = coarsecon("linear", tiny_run, *words, *fast, "--json", "-")
    assert done.code == 0, done.err
    coarse = json.loads(done.out)["coarse"]
    assert 0 <= coarse["top1"] <= coarse["top5"] <= 1
    assert (coarse["epochs"], coarse["batch_size"], coarse["views"]) == (2, 32, "random")
    assert coarse["backbone_lr"] == (0.001 if words == ["--finetune"] else 0)
    (saved,) = (tiny_run / "results").glob(f"linear-*{words[0][2:]}=True*batch_size=32*.json")
    assert json.loads(saved.read_text())["coarse"] == coarse
    assert "chosen on the test images" in done.err


def test_every_draw_of_few_labels_is_fine_tuned_from_the_encoder(coarsecon, tiny_run):
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
        (["--augment"], "--augment: a sweep trains on fixed features; choose --preset supcon"),
        (
            ["--finetune", "--preset", "moco"],
            "--finetune: has its own settings and random views; leave --preset and --augment out",
        ),
        (["--finetune", "--flip"], "--finetune: trains on the output of the backbone; leave --layer and --flip out"),
        (["--backbone-lr", "0.1"], "--backbone-lr: the backbone is frozen; pass --finetune too"),
        (["--finetune", "--backbone-lr", "0"], "--backbone-lr: input should be greater than 0 (got 0.0)"),
        (["--batch-size", "8"], "--batch-size: applies to random views only"),
        (["--lr", "1"], "--lr: a sweep tries many learning rates; choose --preset"),
        (["--preset", "moco", "--lr", "-1"], "--lr: input should be greater than 0 (got -1.0)"),
        (["--preset", "other"], "--preset"),
        (["--shots-per-class", "99"], "labeled training images"),
        (["--shots-per-class", "99", "--labels", "coarse"], "class level stripes: has"),
        (["--shots-per-class", "1"], "use a preset"),
        (["--data", "nowhere"], "nowhere: the dataset of"),
    ],
)
def test_wrong_input_is_reported(coarsecon, tiny_run, arguments, says):
    done = coarsecon("linear", tiny_run, *arguments)
    assert done.code == 2
    assert says in done.err
