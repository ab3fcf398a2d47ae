"""Gentle training of pretrained weights: averaged weights, and defaults that apply to such runs only."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny import TINY_BACKBONE, tiny_settings

import coarsecon
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import load_method
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.finetune_defaults import finetune_defaults
from coarsecon.train.monitor import WITHIN, best_score, monitored_images
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.fixture(scope="module")
def weights(tiny_run: Path) -> Path:
    """An encoder to start from."""
    return RunFolder(tiny_run).encoder()


def trained(settings: dict, out: Path, *, halves: bool = False) -> RunFolder:
    """A run, trained at once or killed and resumed after the first epoch."""
    if halves:
        pretrain(build_run_spec({**settings, "schedule": {**settings["schedule"], "epochs": 1}}), out)
    return pretrain(build_run_spec(settings), out, resume=halves)


def assert_equal(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_without_settings_no_average_is_saved(tiny_run):
    assert load_checkpoint(RunFolder(tiny_run).checkpoint("last")).keys() == {
        "method", "optimizer", "progress", "images"
    }  # fmt: skip


def test_evaluations_use_the_averaged_encoder_and_heads(tiny_data, tmp_path):
    settings = tiny_settings(tiny_data, run={"precision": "float32"})
    plain = trained(settings, tmp_path / "plain")
    run = trained({**settings, "finetune": {"ema": 0.9}}, tmp_path / "average")
    state, before = load_checkpoint(run.checkpoint("last")), load_checkpoint(plain.checkpoint("last"))
    assert_equal(state["method"], before["method"])  # an average changes what is saved, not what is trained
    average = state["ema"]
    saved = load_file(run.encoder())
    assert_equal(saved, {name: average[f"encoder.{name}"] for name in saved})
    assert not torch.equal(saved["layer1.0.conv1.weight"], state["method"]["encoder.layer1.0.conv1.weight"])
    head = load_method(run).projector.state_dict()
    assert_equal(head, {name: average[f"projector.{name}"] for name in head})
    assert run.metrics()[-1]["fine_recall@1"] != plain.metrics()[-1]["fine_recall@1"]


def test_an_average_resumes_bit_for_bit(tiny_data, tmp_path):
    settings = tiny_settings(tiny_data) | {"finetune": {"ema": 0.9}}
    straight = trained(settings, tmp_path / "straight")
    halves = trained(settings, tmp_path / "halves", halves=True)
    one, other = (load_checkpoint(run.checkpoint("last")) for run in (straight, halves))
    assert_equal(one["ema"], other["ema"])
    assert straight.encoder().read_bytes() == halves.encoder().read_bytes()


def from_weights(tiny_data: Path, weights: Path, **sections: dict) -> dict:
    """Layers of a run that starts from weights, without training settings."""
    settings = tiny_settings(tiny_data)
    backbone = {**settings["backbone"], "weights": str(weights)}
    return {"data": settings["data"], "method": settings["method"], "backbone": backbone, **sections}


def test_a_run_from_weights_has_gentle_defaults_and_says_so(tiny_data, weights):
    spec = build_run_spec(from_weights(tiny_data, weights))
    expected = finetune_defaults(96)
    assert spec.config.optimizer.lr == expected["optimizer"]["lr"]
    assert spec.config.schedule.epochs == expected["schedule"]["epochs"]
    assert spec.config.finetune.ema == expected["finetune"]["ema"]
    assert any(
        note.startswith("Defaults for pretrained weights: optimizer.lr=0.02, schedule.epochs=") for note in spec.notes()
    )


def test_a_run_from_weights_that_names_no_method_contrasts_inside_the_class(tiny_data, weights):
    settings = from_weights(tiny_data, weights)
    settings.pop("method")
    assert build_run_spec(settings).config.method["name"] == "cnce"
    assert build_run_spec({**settings, "backbone": TINY_BACKBONE}).config.method["name"] == "maskcon"
    assert build_run_spec({**settings, "method": {"queue_size": 64}}).config.method["name"] == "maskcon"
    assert build_run_spec({**settings, "recipe": "maskcon-toy"}).config.method["name"] == "maskcon"


def test_settings_of_the_user_win_over_gentle_defaults(tiny_data, weights):
    own = {"optimizer": {"lr": 0.05}, "finetune": {"ema": 0.0}, "run": {"batch_size": 24}, "schedule": {"epochs": 3}}
    spec = build_run_spec(from_weights(tiny_data, weights, **own))
    assert (spec.config.optimizer.lr, spec.config.schedule.epochs) == (0.05, 3)
    assert (spec.config.finetune.ema, spec.config.run.batch_size) == (0.0, 24)
    assert not any("optimizer.lr" in note for note in spec.notes())


def test_adamw_has_a_gentle_learning_rate_too(tiny_data, weights):
    assert build_run_spec(from_weights(tiny_data, weights, optimizer={"name": "adamw"})).config.optimizer.lr == 1e-4


@pytest.mark.parametrize("recipe", [None, "maskcon-cars196"])
def test_recipes_and_settings_of_earlier_runs_keep_their_defaults(recipe, tiny_data, weights):
    layers = from_weights(tiny_data, weights, run={"batch_size": 32}) | {"recipe": recipe}
    config = build_run_spec(layers).config
    assert (config.optimizer.lr, config.schedule.epochs, config.finetune.ema) == (0.02, 500, 0.0)


def test_a_run_of_an_earlier_version_resumes_with_its_settings(tiny_data, weights, tmp_path):
    layers = from_weights(tiny_data, weights, run={"batch_size": 32}, schedule={"epochs": 1})
    run = pretrain(build_run_spec({**layers, "recipe": None}), tmp_path / "run")
    saved = yaml.safe_load(run.config_file.read_text())
    del saved["finetune"]
    run.config_file.write_text(yaml.safe_dump(saved))
    sections = {name: values for name, values in layers.items() if name not in ("method", "data")}
    opened = coarsecon.pretrain(
        tiny_data, method=layers["method"], data={"workers": 0}, out=run.root, resume=True, **sections
    )
    config = opened.folder.config()
    assert (config.optimizer.lr, config.finetune.ema) == (0.02, 0.0)


def test_random_weights_keep_their_defaults(tiny_data):
    settings = tiny_settings(tiny_data)
    config = build_run_spec({key: settings[key] for key in ("data", "method", "backbone")} | {
        "run": {"batch_size": 32}
    }).config  # fmt: skip
    assert (config.optimizer.lr, config.schedule.epochs, config.finetune.ema) == (0.02, 500, 0.0)


@pytest.mark.parametrize(("images", "epochs"), [(96, 15), (10_000, 15), (15_000, 10), (1_000_000, 5)])
def test_many_images_are_trained_on_for_fewer_epochs(images, epochs):
    assert finetune_defaults(images)["schedule"]["epochs"] == epochs


@pytest.mark.parametrize("method", ["maskcon", "supce"])
def test_frozen_blocks_stay_as_they_were_bit_for_bit(method, tiny_data, weights, tmp_path):
    settings = tiny_settings(tiny_data, method)
    settings["backbone"] = {**settings["backbone"], "weights": str(weights)}
    settings |= {"finetune": {"train": "last-blocks", "blocks": 1, "layer_decay": 0.5}, "recipe": None}
    run = trained(settings, tmp_path / "run")
    before, after = load_file(weights), load_file(run.encoder())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("layer4.0.") for name in changed)
    state = load_checkpoint(run.checkpoint("last"))
    if method == "maskcon":  # the keys' encoder follows
        twin = {name: state["method"][f"twin.copies.0.{name}"] for name in before}
        assert {name for name in before if not torch.equal(before[name], twin[name])} <= changed
    trained_parameters = sum(len(group["params"]) for group in state["optimizer"]["param_groups"])
    assert trained_parameters < 20
    halves = trained(settings, tmp_path / "halves", halves=True)
    assert halves.encoder().read_bytes() == run.encoder().read_bytes()


def test_freezing_random_weights_is_refused(tiny_data):
    settings = tiny_settings(tiny_data) | {"finetune": {"train": "last-blocks"}}
    with pytest.raises(InputError, match=r"finetune\.train: last-blocks needs pretrained weights"):
        build_run_spec(settings)


def test_freezing_a_layer_that_the_weights_lack_is_refused(tiny_data, weights, tmp_path):
    state = load_file(weights)
    del state["bn1.weight"]
    save_file(state, tmp_path / "incomplete.safetensors")
    layers = from_weights(tiny_data, tmp_path / "incomplete.safetensors", finetune={"train": "last-blocks"})
    with pytest.raises(InputError, match=r"would freeze random values, .*bn1\.weight"):
        build_run_spec(layers).build_method()


@pytest.mark.parametrize(
    ("best_by", "metrics", "expected"),
    [
        ("within-coarse", {WITHIN: 0.1, "fine_recall@1": 0.2, "coarse_recall@1": 0.3}, 0.1),
        ("within-coarse", {"fine_recall@1": 0.2, "coarse_recall@1": 0.3}, 0.2),
        ("within-coarse", {"coarse_recall@1": 0.3}, 0.3),
        ("fine", {WITHIN: 0.1, "fine_recall@1": 0.2, "coarse_recall@1": 0.3}, 0.2),
        ("coarse", {WITHIN: 0.1, "fine_recall@1": 0.2, "coarse_recall@1": 0.3}, 0.3),
        ("fine", {}, 0.0),
    ],
)
def test_best_is_chosen_by_the_named_metric_or_the_next_one_that_is_monitored(best_by, metrics, expected):
    assert best_score(metrics, best_by, "coarse") == expected


def test_a_run_from_weights_is_monitored_on_training_images_that_it_does_not_train_on(tiny_data, weights):
    spec = build_run_spec(from_weights(tiny_data, weights, data={"path": str(tiny_data), "validation": 0.25}))
    held_out = monitored_images(spec.dataset, spec.config)
    assert (len(spec.split), len(held_out)) == (72, 24)
    every = {image.numpy().tobytes() for image in spec.dataset.split("train").images}
    trained_on, monitored = ({image.numpy().tobytes() for image in each.images} for each in (spec.split, held_out))
    assert trained_on | monitored == every
    assert not trained_on & monitored
    assert len(held_out.labels["fine"].unique()) == 16
    again = build_run_spec(spec.config.model_dump(mode="json"))
    assert torch.equal(again.split.images, spec.split.images)


def test_duplicates_are_held_out_together(tiny_data, weights, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    file = tmp_path / "data" / "train.safetensors"
    content = load_file(file)
    first = {int(label): i for i, label in reversed(list(enumerate(content["fine"])))}
    place = [first[int(label)] for label in content["fine"]]
    paired = torch.arange(96) % 2 == 0
    content["images"] = torch.where(paired[:, None, None, None], content["images"][place], content["images"])
    save_file(content, file)
    held = []
    for seed in range(3):
        data = {"path": str(tmp_path / "data"), "validation": 0.25}
        spec = build_run_spec(from_weights(tmp_path / "data", weights, data=data, run={"seed": seed}))
        monitored = monitored_images(spec.dataset, spec.config)
        kept, apart = ({image.numpy().tobytes() for image in each.images} for each in (spec.split, monitored))
        assert not kept & apart
        held.append(len(monitored))
    assert all(10 < count < 40 for count in held)


def test_runs_from_random_weights_hold_nothing_out(tiny_data):
    spec = build_run_spec(tiny_settings(tiny_data))
    assert len(spec.split) == 96
    assert monitored_images(spec.dataset, spec.config).name == "test"


def test_a_split_for_validation_is_used_as_it_is(tiny_data, weights, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    info = json.loads((tmp_path / "data" / "dataset.json").read_text())
    info["splits"]["val"] = info["splits"].pop("test")
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(info))
    for file in ("safetensors", "files.json"):
        (tmp_path / "data" / f"test.{file}").rename(tmp_path / "data" / f"val.{file}")
    spec = build_run_spec(from_weights(tmp_path / "data", weights))
    assert spec.config.data.validation == 0
    assert "data.validation" not in spec.defaults
    assert len(spec.split) == 96
    assert monitored_images(spec.dataset, spec.config).name == "val"


def test_the_initial_weights_stay_the_best_checkpoint_if_training_harms_them(tiny_data, weights, tmp_path):
    harmful = {"optimizer": {"lr": 30.0, "momentum": 0.0}, "run": {"patience": 2, "precision": "float32"}}
    spec = build_run_spec(from_weights(tiny_data, weights, finetune={"ema": 0.0}, **harmful))
    run = pretrain(spec, tmp_path / "run")
    progress = load_checkpoint(run.checkpoint("last"))["progress"]
    evaluated = [row["epoch"] for row in run.metrics() if WITHIN in row]
    scores = [row[WITHIN] for row in run.metrics() if WITHIN in row]
    assert progress["best"] == max(scores)
    assert progress["best_epoch"] == evaluated[scores.index(max(scores))]
    assert evaluated[-1] == progress["best_epoch"] + 2 < spec.epochs
    if progress["best_epoch"] == 0:
        assert_equal(load_file(run.encoder("best")), load_file(run.encoder("initial")))
