"""Training of detectors: it learns, it resumes to the same weights, and its settings do what they say."""

import json

import pytest
import torch
from encoders import encoder_run
from shapes import write_coco, write_voc
from torch import nn

from coarsecon import recipes
from coarsecon.config import merge, read_config_file, validate
from coarsecon.detection.measure import average_precision, detect_all
from coarsecon.detection.settings import DetectionConfig
from coarsecon.detection.spec import DEFAULT_RECIPES, build_detection_spec, resolve_config, result_name
from coarsecon.detection.train import DetectorTask, check_folder, parameter_groups, train_detector
from coarsecon.errors import CoarseconError, InputError
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.progress import Reporter
from coarsecon.train.stopping import InterruptedRunError, StopRequest

pytest.importorskip("pycocotools")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return encoder_run(tmp_path_factory.mktemp("runs") / "run", "deep", stem="standard")


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    return write_voc(tmp_path_factory.mktemp("data"), {"trainval": 60, "test": 30})


def settings(folder, **sections):
    small = {
        "recipe": None,
        "data": {"paths": [folder], "workers": 0},
        "model": {"anchors": [16.0, 32.0, 48.0], "regions": 16, "proposals": 30},
        "sizes": {"train": [64], "test": 64},
        "schedule": {"steps": 4},
        "run": {"batch_size": 2, "device": "cpu", "precision": "float32", "log_every": 1},
    }
    return resolve_config(merge(small, sections))


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["model"]


@pytest.mark.slow
def test_a_detector_learns_to_find_shapes(run, tmp_path):
    data = write_voc(tmp_path, {"trainval": 160, "test": 40})
    config = settings(
        data,
        sizes={"train": [96, 112], "test": 112},
        optimizer={"lr": 0.05, "weight_decay": 1e-4},
        schedule={"steps": 250, "drops": [0.8], "precise_batches": 8},
        run={"batch_size": 4},
    )
    planned = build_detection_spec(run, config)
    test, classes = planned.test, planned.classes

    def ap50(model):
        return average_precision(test, classes, detect_all(model, test, classes, device=planned.device))["ap50"]

    assert ap50(planned.build()) < 0.1
    assert ap50(train_detector(planned, tmp_path / "detector")) > 0.5


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(run, voc, tmp_path, monkeypatch):
    planned = build_detection_spec(run, settings(voc, schedule={"precise_batches": 2}))
    train_detector(planned, tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__enter__", lambda self: vars(self).update(requested=True) or self)
        for at in (1, 2):
            with pytest.raises(InterruptedRunError, match=f"step {at}"):
                train_detector(planned, tmp_path / "stopped", resume=at > 1)
    train_detector(planned, tmp_path / "stopped", resume=True)
    straight, stopped = weights(tmp_path / "straight"), weights(tmp_path / "stopped")
    assert all(torch.equal(value, stopped[name]) for name, value in straight.items())
    rows = [json.loads(line) for line in (tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert {"loss", "loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg", "lr"} <= set(rows[0])
    finished = train_detector(planned, tmp_path / "stopped", resume=True).state_dict()
    assert all(torch.equal(value, finished[name]) for name, value in straight.items())
    saved = validate(DetectionConfig, read_config_file(tmp_path / "stopped" / "detection.yaml"))
    assert saved == planned.config


def test_processes_that_decode_change_nothing(run, voc, tmp_path):
    for workers in (0, 1):
        config = settings(voc, data={"workers": workers}, schedule={"steps": 2})
        train_detector(build_detection_spec(run, config), tmp_path / str(workers))
    first, second = weights(tmp_path / "0"), weights(tmp_path / "1")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        check_folder(tmp_path, resume=False)
    with pytest.raises(InputError, match="no training to resume"):
        check_folder(tmp_path, resume=True)
    state = RunFolder(tmp_path).checkpoint("last")
    state.parent.mkdir()
    state.write_bytes(b"")
    with pytest.raises(InputError, match="resume it"):
        check_folder(tmp_path, resume=False)


def test_a_state_that_is_broken_or_of_another_detector_is_told(run, voc, tmp_path):
    train_detector(build_detection_spec(run, settings(voc, schedule={"steps": 1})), tmp_path / "one")
    other = build_detection_spec(run, settings(voc, schedule={"steps": 1}, model={"head": "c4", "anchors": [16.0]}))
    with pytest.raises(InputError, match="not a state of this training"):
        train_detector(other, tmp_path / "one", resume=True)
    stranger = build_detection_spec(
        encoder_run(tmp_path / "stranger", "deep", stem="small"), settings(voc, schedule={"steps": 1})
    )
    with pytest.raises(InputError, match="encoder differs from the one this detector started from"):
        train_detector(stranger, tmp_path / "one", resume=True)
    (tmp_path / "one" / "checkpoints" / "last.pt").write_bytes(b"no state")
    with pytest.raises(InputError, match="cannot be read"):
        train_detector(other, tmp_path / "one", resume=True)


def test_a_loss_that_is_no_number_ends_the_training(run, voc, tmp_path):
    config = settings(voc, optimizer={"lr": 1e30}, schedule={"warmup_steps": 0})
    with pytest.raises(CoarseconError, match=r"the loss is (nan|inf) at step"):
        train_detector(build_detection_spec(run, config), tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_weights_decay_and_norms_do_not():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    decaying, free = parameter_groups(model, 0.1)
    assert (len(decaying["params"]), decaying["weight_decay"]) == (2, 0.1)
    assert (len(free["params"]), free["weight_decay"]) == (2, 0.0)


def test_statistics_are_means_over_batches_of_the_last_weights(run, voc, tmp_path):
    trainer = DetectorTask(
        build_detection_spec(run, settings(voc, schedule={"precise_batches": 3})), RunFolder(tmp_path), Reporter()
    )
    norm = trainer.model.backbone.bn1
    trainer.model.train()
    means = []
    hook = norm.register_forward_hook(lambda _, given, __: means.append(given[0].mean((0, 2, 3))))
    weight = norm.weight.clone()
    trainer.after_epoch(0)
    hook.remove()
    assert len(means) == 3
    assert torch.allclose(norm.running_mean, torch.stack(means).mean(0), atol=1e-6)
    assert norm.momentum == 0.1
    assert torch.equal(norm.weight, weight)


@pytest.mark.parametrize("name", recipes.names("detect"))
def test_every_recipe_is_well_formed_and_holds_the_published_schedule(name):
    config = validate(DetectionConfig, recipes.read(name, "detect"))
    schedule = config.schedule
    drops = [round(share * schedule.steps) for share in schedule.drops]
    steps = {"voc-c4-24k": (24_000, 18_000, 22_000)}.get(name, (90_000, 60_000, 80_000))
    assert (schedule.steps, *drops) == steps
    assert (config.optimizer.lr, config.optimizer.weight_decay, config.run.batch_size) == (0.02, 1e-4, 16)
    assert config.model.masks == name.startswith("coco-mask")
    assert f"-{config.model.head}-" in name
    for row in recipes.expected(name):
        assert 0 < row.value < 100
        assert "2024" in row.source
    assert max(map(len, recipes.text(name).splitlines())) <= 120
    assert set(DEFAULT_RECIPES.values()) <= set(recipes.names("detect"))


def test_the_datas_form_chooses_the_recipe_and_layers_lie_above_it(voc, tmp_path):
    coco = write_coco(tmp_path, {"train2017": 1, "val2017": 1})
    for folder, name in ((voc, "voc-c4-24k"), (coco, "coco-mask-c4-1x")):
        config = resolve_config({"data": {"paths": [folder]}, "model": {"regions": 8}})
        assert (config.recipe, config.model.regions) == (name, 8)
        assert config.run.precision in ("float32", "bfloat16")
    assert resolve_config({"data": {"paths": [coco]}, "model": {"masks": False}}).model.masks is False


def test_a_result_is_called_after_what_differs_from_its_recipe(voc, tmp_path):
    def name(**sections):
        layers = merge({"data": {"paths": [tmp_path / "d"]}, "recipe": "voc-c4-24k"}, sections)
        return result_name(validate(DetectionConfig, merge(recipes.read("voc-c4-24k", "detect"), layers)))

    usual = name()
    assert usual.startswith("voc-c4-24k-data=")
    assert name(run={"device": "cpu"}, data={"workers": 7}) == usual
    assert name(schedule={"steps": 100}) == f"{usual}-schedule.steps=100"
    assert name(model={"encoder": "best"}) == f"{usual}-model.encoder=best"
    assert "/" not in name(sizes={"train": [64]})
    many = name(run={"seed": 1, "batch_size": 2}, schedule={"steps": 5}, sizes={"test": 64})
    assert many == f"{usual}-sizes.test=64-schedule.steps=5-run.batch_size=2-run.seed=1"
    too_many = name(
        run={"seed": 1, "batch_size": 2}, schedule={"steps": 5}, sizes={"test": 64, "train": [64, 96]},
        optimizer={"lr": 0.123, "weight_decay": 0.456}, model={"encoder": "best"},
    )  # fmt: skip
    assert too_many.startswith(f"{usual}-settings=")
    assert len(too_many) < 120


def test_fewer_images_than_a_batch_are_told(run, voc):
    with pytest.raises(InputError, match=r"run\.batch_size: 64 is more than the \d+ training images"):
        build_detection_spec(run, settings(voc, run={"batch_size": 64}))
