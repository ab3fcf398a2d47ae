"""The training loop: what a run leaves behind, resuming bit for bit, and refusing what it should."""

import json
import shutil
import signal
import time

import pytest
import torch
import yaml
from kills import killed_at_every_change
from launch import python
from PIL import Image
from safetensors.torch import load_file
from tiny import tiny_settings, tiny_trainer, write_tiny_dataset

from coarsecon.config import RunConfig, to_yaml, validate
from coarsecon.errors import CoarseconError, InputError
from coarsecon.run.folder import RunFolder, open_run
from coarsecon.run.restore import coarse_classes, load_method, save_heads, saved_modules
from coarsecon.runtime import seeds
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.progress import Reporter
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining, pretrain
from coarsecon.train.resolve import build_run_spec
from coarsecon.views.presets import make_view

TIMES = ("images_per_s", "data_wait")


def rows(run: RunFolder) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()]


def assert_same_run(first: RunFolder, second: RunFolder) -> None:
    assert rows(first) == rows(second)
    states = [load_checkpoint(run.checkpoint("last")) for run in (first, second)]
    assert states[0]["progress"] == states[1]["progress"]
    for name, value in states[0]["method"].items():
        assert torch.equal(value, states[1]["method"][name]), name
    for one, other in zip(*(state["optimizer"]["state"].values() for state in states), strict=True):
        assert torch.equal(one["momentum_buffer"], other["momentum_buffer"])


@pytest.fixture(scope="module")
def straight(tiny_data, tmp_path_factory) -> RunFolder:
    return pretrain(build_run_spec(tiny_settings(tiny_data)), tmp_path_factory.mktemp("runs") / "straight")


def test_a_run_leaves_everything_an_evaluation_needs(straight):
    names = {path.name for path in straight.root.iterdir()}
    assert names >= {
        "config.yaml", "environment.json", "metrics.jsonl", "views.png", "checkpoints",
        "encoder.safetensors", "encoder.json", "encoder-best.safetensors",
    }  # fmt: skip
    assert not [name for name in names if name.endswith(".tmp")]
    environment = json.loads(straight.environment_file.read_text())
    assert environment["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    with Image.open(straight.views_picture) as picture:
        assert picture.width > 300


def test_the_log_tells_of_learning_and_of_time(straight):
    logged = straight.metrics()
    trained = [row for row in logged if "loss" in row]
    monitored = [row for row in logged if "fine_recall@1" in row]
    assert [row["step"] for row in trained] == [2, 3, 4, 6]
    assert [row["epoch"] for row in monitored] == [1, 2]
    for row in trained:
        assert {"lr", "grad_norm", "queue_fill", "positive_similarity", "negative_similarity"} <= row.keys()
        assert 0 <= row["data_wait"] <= 1
        assert row["images_per_s"] > 0
        assert row["queue_fill"] == 1.0
        assert -1 <= row["positive_similarity"] <= 1


def test_the_saved_settings_reproduce_the_run(straight, tmp_path):
    layers = yaml.safe_load(straight.config_file.read_text())
    assert validate(RunConfig, layers) == straight.config()
    assert layers["method"]["query_view"] == "autoaugment"
    assert layers["backbone"]["stem"] == "small"
    assert_same_run(straight, pretrain(build_run_spec(layers), tmp_path / "again"))


def test_another_seed_gives_another_run(straight, tiny_data, tmp_path):
    other = pretrain(build_run_spec(tiny_settings(tiny_data, run={"seed": 1})), tmp_path / "other")
    assert rows(other) != rows(straight)


def test_a_killed_run_resumes_bit_for_bit(straight, tiny_data, tmp_path):
    """Killed with -9 after its first epoch's state is written; the log's later rows are dropped and made again."""
    root = tmp_path / "killed"
    script = (
        "import os, signal, sys; from pathlib import Path; from tiny import tiny_settings\n"
        "from coarsecon.train import pretrain; from coarsecon.train.loop import Loop\n"
        "from coarsecon.train.resolve import build_run_spec\n"
        "step = Loop.train_step\n"
        "def dies(self, *a):\n"
        "    if self.progress.step == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(self, *a)\n"
        "Loop.train_step = dies\n"
        f"pretrain.pretrain(build_run_spec(tiny_settings(Path({str(tiny_data)!r}))), Path({str(root)!r}))\n"
    )
    done = python("-c", script)
    assert done.code == -signal.SIGKILL, done.err
    killed = RunFolder(root)
    assert [row["step"] for row in killed.metrics() if "loss" in row] == [2, 3, 4]
    assert_same_run(straight, pretrain(build_run_spec(tiny_settings(tiny_data)), root, resume=True))


def test_a_state_that_is_killed_between_any_two_files_is_read_as_the_old_or_the_new_one(tiny_data, tmp_path):
    """Training state, encoder, card and heads are always those of one step, for readers that write nothing too."""
    trainer = tiny_trainer(tiny_data, "supce")
    trainer.run = RunFolder(tmp_path / "run")
    loop = Loop(trainer)

    def save(step: int) -> None:
        loop.progress.step = step
        with torch.no_grad():
            for parameter in trainer.method.parameters():
                parameter.fill_(step)
        loop.save("last")

    def prepare() -> None:
        shutil.rmtree(trainer.run.root, ignore_errors=True)
        save(1)
        atomic_write(trainer.run.config_file, to_yaml(trainer.config))

    def steps() -> set[float]:
        run = trainer.run
        weights = load_file(run.encoder())["conv1.0.weight"], load_file(run.heads())["classifier.weight"]
        return {
            *(each.flatten()[0].item() for each in weights),
            load_checkpoint(run.checkpoint("last"))["progress"]["step"],
        }

    seen = []
    for change in killed_at_every_change(prepare, lambda: save(2)):
        found = steps()
        assert len(found) == 1, change
        open_run(trainer.run.root)
        assert steps() == found
        assert load_file(trainer.run.root / "encoder.safetensors")["conv1.0.weight"].flatten()[0] == min(found)
        seen.append(min(found))
        if seen.count(min(found)) == 1:
            load_method(trainer.run)  # the heads belong to the encoder
    assert seen == sorted(seen)
    assert set(seen) == {1, 2}


def test_equal_heads_are_equal_files(tiny_data, tmp_path):
    runs = [pretrain(build_run_spec(tiny_settings(tiny_data, "supce")), tmp_path / name) for name in ("one", "two")]
    contents = {run.heads().read_bytes() for run in runs}
    for _ in range(20):  # safetensors alone draws an order each time
        trainer = tiny_trainer(tiny_data, "supce")
        trainer.method.load_state_dict(load_checkpoint(runs[0].checkpoint("last"))["method"])
        heads = {name: head for name, head in saved_modules(trainer.method).items() if name != "encoder"}
        save_heads(heads, coarse_classes(runs[0]), tmp_path / "heads", encoder=runs[0].encoder())
        contents.add((tmp_path / "heads").read_bytes())
    assert len(contents) == 1


def test_heads_of_another_state_than_the_encoder_are_refused(tiny_data, tmp_path):
    """A copy that left a file out does not mix two states."""
    settings = tiny_settings(tiny_data, run={"monitor_every": 1})
    run = pretrain(build_run_spec(settings), tmp_path / "run")
    shutil.copy(run.heads("best"), tmp_path / "best")
    other = pretrain(build_run_spec(tiny_settings(tiny_data, run={"seed": 1})), tmp_path / "other")
    shutil.copy(other.heads(), run.heads())
    with pytest.raises(InputError, match="these heads were saved with another encoder than encoder"):
        load_method(run)


def test_a_second_training_in_a_folder_is_refused_before_it_writes(tiny_data, tmp_path):
    root, messages = tmp_path / "run", []
    settings = tiny_settings(tiny_data, "supce")

    class Nosy(Reporter):
        def info(self, text: str) -> None:
            before = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
            for resume in (False, True):
                with pytest.raises(InputError) as error:
                    pretrain(build_run_spec(tiny_settings(tiny_data, "simclr")), root, resume=resume)
                messages.append(str(error.value))
            assert {path.name: path.stat().st_mtime_ns for path in root.iterdir()} == before

    run = pretrain(build_run_spec(settings), root, reporter=Nosy())
    assert set(messages) == {
        f"{root}: another process is training this run; wait for it to end, or choose another folder"
    }
    assert run.config().method["name"] == "supce"
    alone = pretrain(build_run_spec(settings), tmp_path / "alone")
    assert rows(run) == rows(alone)
    assert run.encoder().read_bytes() == alone.encoder().read_bytes()
    assert not [path.name for path in root.iterdir() if path.name.startswith(".")]


def test_a_training_that_cannot_begin_leaves_no_folder(tiny_data, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise CoarseconError("cannot begin")

    monkeypatch.setattr("coarsecon.train.pretrain.Pretraining", fails)
    with pytest.raises(CoarseconError, match="cannot begin"):
        pretrain(build_run_spec(tiny_settings(tiny_data)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("seconds", "saved"), [(0, [3, 6, 9, 12]), (1000, [3, 12])])
def test_a_state_is_saved_after_the_first_and_the_last_epoch_and_at_intervals(tiny_data, tmp_path, seconds, saved):
    steps = []

    class Recorded(Pretraining):
        def write_state(self, state, checkpoint):
            steps.append(state["progress"]["step"])

    spec = build_run_spec(tiny_settings(tiny_data, run={"monitor_every": 0}, schedule={"epochs": 4}))
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    Loop(Recorded(spec, run, Reporter()), save_interval=seconds).run_to_end()
    assert steps == saved


def test_an_interrupt_saves_between_two_steps_and_resumes_to_the_same_state(straight, tiny_data, tmp_path):
    root = tmp_path / "interrupted"
    script = (
        "from pathlib import Path; from tiny import tiny_settings\n"
        "import signal, os\nfrom coarsecon.train import pretrain, stopping; from coarsecon.train.loop import Loop\n"
        "from coarsecon.train.resolve import build_run_spec\n"
        "step = Loop.train_step\n"
        "def interrupts(self, *a):\n"
        "    if self.progress.step == 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return step(self, *a)\n"
        "Loop.train_step = interrupts\n"
        "class Telling(pretrain.Reporter):\n"
        "    def info(self, text): print(text)\n"
        "try:\n"
        f"    spec = build_run_spec(tiny_settings(Path({str(tiny_data)!r})))\n"
        f"    pretrain.pretrain(spec, Path({str(root)!r}), reporter=Telling())\n"
        "except stopping.InterruptedRunError as stopped: print(stopped); raise SystemExit(stopped.exit_code)\n"
    )
    done = python("-c", script)
    assert done.code == 130, done.err
    assert "stopping after this step" in done.out
    assert "stopped at step 4" in done.out
    assert load_checkpoint(RunFolder(root).checkpoint("last"))["progress"]["step"] == 4
    resumed = pretrain(build_run_spec(tiny_settings(tiny_data)), root, resume=True)
    states = [load_checkpoint(run.checkpoint("last"))["method"] for run in (straight, resumed)]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_a_folder_that_holds_a_run_or_other_files_is_left_alone(straight, tiny_data, tmp_path):
    with pytest.raises(InputError, match="resume it"):
        pretrain(build_run_spec(tiny_settings(tiny_data)), straight.root)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        pretrain(build_run_spec(tiny_settings(tiny_data)), tmp_path)
    with pytest.raises(InputError, match="is a file"):
        pretrain(build_run_spec(tiny_settings(tiny_data)), tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_loss_that_is_not_finite_ends_the_run(tiny_data, tmp_path):
    settings = tiny_settings(tiny_data)
    settings["optimizer"] = {"lr": 1e30}
    with pytest.raises(CoarseconError, match=r"lower optimizer\.lr"):
        pretrain(build_run_spec(settings), tmp_path / "wild")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"labels": "genus"}}, "has no 'genus' labels; it has coarse, fine"),
        ({"run": {"batch_size": 500}}, "more than the 96 training images"),
        ({"run": {"device": "cuda:99"}}, "device: 'cuda:99'"),
        ({"data": {"path": "nowhere"}}, "coarsecon prepare"),
        ({"method": {"name": "maskcon", "ww": 1.0}}, r"method\.ww: is not a setting; did you mean method\.w\?"),
        (
            {"method": {"name": "maskcon", "query_view": "weka"}},
            r"method\.query_view: unknown view preset .*did you mean 'weak'\?",
        ),
        (
            {"method": {"name": "supcon", "view": "strong"}},
            r"method\.view: unknown view preset 'strong'; known: weak, ",
        ),
        ({"method": {"name": "moco", "t0": -0.1}}, r"method\.t0: input should be greater than 0 \(got -0\.1\)"),
        ({"method": {"name": "moco", "t0": float("inf")}}, r"method\.t0: input should be a finite number"),
        ({"method": {"name": "moco", "queue_size": 0}}, r"method\.queue_size: input should be .* 1 \(got 0\)"),
        ({"method": {"name": "salmask", "saliency": "resnet_18"}}, r"method\.saliency: timm has no model .*resnet18"),
        ({"method": {"name": "salmask", "saliency_weights": "x.pt"}}, r"saliency_weights: needs a timm model"),
        ({"backbone": {"batch_norm_splits": 17}}, r"use at most 16, or a batch of at least 34"),
        ({"schedule": {"name": "cyclic", "cycles": 3, "epochs": 2}}, r"schedule\.cycles: 3 must not exceed schedule"),
        ({"method": {"name": "masccon"}}, "did you mean maskcon"),
    ],
)
def test_wrong_input_is_told_before_anything_is_written(tiny_data, tmp_path, sections, message):
    with pytest.raises(InputError, match=message):
        pretrain(build_run_spec(tiny_settings(tiny_data, **sections)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_on_constant_channels_stays_finite(tmp_path):
    data = write_tiny_dataset(tmp_path / "data")
    record = json.loads((data / "dataset.json").read_text())
    record["std"][0] = 0.0
    (data / "dataset.json").write_text(json.dumps(record))
    run = pretrain(build_run_spec(tiny_settings(data)), tmp_path / "run")
    card = json.loads(run.encoder("last").with_suffix(".json").read_text())
    assert card["input"]["std"] == [0.02, *record["std"][1:]]
    assert all(0 < row["loss"] < 20 for row in rows(run) if "loss" in row)


def test_damaged_training_states_are_refused(tmp_path):
    path = tmp_path / "last.pt"
    with pytest.raises(InputError, match="no training state"):
        load_checkpoint(path)
    path.write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)

    class Hostile:
        def __reduce__(self):
            return (time.sleep, (0,))

    torch.save({"method": Hostile()}, path)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)


@pytest.mark.slow
def test_tensorboard_and_wandb_take_the_rows(tiny_data, tmp_path):
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    settings = tiny_settings(tiny_data, run={"loggers": ["tensorboard", "wandb"]}, schedule={"epochs": 1})
    run = pretrain(build_run_spec(settings), tmp_path / "logged")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.root / "tensorboard"))
    events.Reload()
    logged = [row for row in run.metrics() if "loss" in row]
    assert [event.step for event in events.Scalars("loss")] == [row["step"] for row in logged]
    assert events.Scalars("loss")[0].value == pytest.approx(logged[0]["loss"], rel=1e-5)
    assert list((run.root / "wandb").glob("offline-run-*/*.wandb"))


def test_images_without_fine_labels_train_and_are_monitored_by_their_coarse_ones(tmp_path):
    import numpy as np

    from coarsecon.data.prepare.dataset import write_dataset
    from coarsecon.data.sources import SourceData, SplitData

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 3, 32, 32), dtype=np.uint8)
    for levels, fine in (
        ({"coarse": ["a", "b"]}, {}),
        ({"coarse": ["a", "b"], "fine": ["x"]}, {"fine": np.full(64, -1)}),
    ):
        data = tmp_path / f"data{len(levels)}"
        split = SplitData({"coarse": np.arange(64) % 2, **fine}, images)
        write_dataset(data, SourceData("unlabelled", 32, levels, {"train": split}))
        run = pretrain(build_run_spec(tiny_settings(data, schedule={"epochs": 1})), tmp_path / f"run{len(levels)}")
        monitored = [row for row in run.metrics() if "coarse_recall@1" in row]
        assert len(monitored) == 1
        assert "fine_recall@1" not in monitored[0]
        assert run.encoder("best").exists()


def test_the_monitor_votes_by_nearest_training_images_if_asked_to(tiny_data, tmp_path):
    run = pretrain(build_run_spec(tiny_settings(tiny_data, run={"monitor_knn": True})), tmp_path / "run")
    monitored = [row for row in run.metrics() if "fine_recall@1" in row]
    assert len(monitored) == 2
    assert all(0 <= row["fine_knn"] <= row["coarse_knn"] <= 1 for row in monitored)


def test_a_run_in_bfloat16_is_monitored_and_leaves_a_float32_encoder(tiny_data, tmp_path):
    settings = tiny_settings(tiny_data, run={"precision": "bfloat16", "monitor_knn": True}, schedule={"epochs": 1})
    run = pretrain(build_run_spec(settings), tmp_path / "run")
    seen = run.metrics()[-1]
    assert 0 < seen["fine_recall@1"] <= 1
    assert 0 < seen["fine_knn"] <= 1
    state = load_checkpoint(run.checkpoint("last"))["method"]
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}


def together(trainer: Pretraining, steps: int) -> Pretraining:
    trainer.source.steps_at_once = steps
    return trainer


def test_views_drawn_together_are_those_of_their_step_wherever_a_run_is_taken_up(tiny_data):
    trainer = together(tiny_trainer(tiny_data, "maskcon"), 2)
    order = trainer.source.order(0)
    whole = list(trainer.source.draw(order, seeds.VIEWS, 30))
    for done in range(len(order) + 1):
        rest = list(trainer.source.draw(order, seeds.VIEWS, 30, done=done))
        assert len(rest) == len(order) - done
        for (views, labels), (expected, expected_labels) in zip(rest, whole[done:], strict=True):
            assert torch.equal(labels, expected_labels)
            assert all(torch.equal(views[name], expected[name]) for name in expected)
    for indices, (_, labels) in zip(order, whole, strict=True):
        assert torch.equal(labels, trainer.spec.split.labels["coarse"][indices])


def test_views_drawn_together_show_the_images_of_their_step(tiny_data):
    apart, joined = (together(tiny_trainer(tiny_data, "maskcon"), steps) for steps in (1, 3))
    order = apart.source.order(0)
    for trainer in (apart, joined):
        trainer.source.views = {"query": make_view("test", size=32, mean=[0, 0, 0], std=[1, 1, 1])}
    pairs = [trainer.source.draw(order, seeds.VIEWS, 0) for trainer in (apart, joined)]
    for (one, _), (other, _) in zip(*pairs, strict=True):
        assert torch.equal(one["query"], other["query"])
        assert other["query"].is_contiguous(memory_format=torch.channels_last)


def test_global_randomness_of_a_step_does_not_depend_on_how_views_are_drawn(tiny_data):
    drawn = []
    for steps in (1, 3):
        trainer = together(tiny_trainer(tiny_data, "supce"), steps)
        order = trainer.source.order(0)
        drawn.append([torch.rand(2).tolist() for _ in trainer.source.draw(order, seeds.VIEWS, 7)])
    assert drawn[0] == drawn[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["maskcon", "moco", "ancor", "ascl", "supcon", "supce"])
def test_a_step_on_a_gpu_never_waits_for_it(tiny_data, tmp_path, name):
    trainer = Pretraining(
        build_run_spec(tiny_settings(tiny_data, name, run={"device": "cuda"})), RunFolder(tmp_path / "run"), Reporter()
    )
    order = trainer.source.order(0)
    steps = trainer.source.draw(order, seeds.VIEWS, 0)
    Loop(trainer).train_step(next(steps), 0.1)  # constants are copied once, memory is taken
    torch.cuda.set_sync_debug_mode("error")
    try:
        Loop(trainer).train_step(next(steps), 0.1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
