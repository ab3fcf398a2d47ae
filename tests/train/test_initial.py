"""The weights that a training starts from: evaluated before the first step, and kept in the run."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import TINY_BACKBONE, tiny_settings

from coarsecon.config import BackboneSettings
from coarsecon.errors import InputError
from coarsecon.nn.backbone import create_backbone
from coarsecon.run.facade import Run
from coarsecon.run.folder import RunFolder
from coarsecon.run.missing import no_encoder
from coarsecon.run.restore import load_method, open_encoder
from coarsecon.run.spec import FeatureSpec
from coarsecon.runtime.progress import Reporter
from coarsecon.train import loop
from coarsecon.train.loop import Loop
from coarsecon.train.monitor import WITHIN
from coarsecon.train.pretrain import Pretraining, pretrain
from coarsecon.train.resolve import build_run_spec

TIMES = ("images_per_s", "data_wait")


def rows(run: RunFolder) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()]


class Lines(Reporter):
    """Keeps what is reported."""

    def __init__(self):
        self.lines = []

    def info(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights of the tiny backbone."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(create_backbone(BackboneSettings(**TINY_BACKBONE), 32).state_dict(), path)
    return path


def settings_from(weights, data, **sections):
    """Settings of a run in float32, the precision of evaluations, that is monitored on the test split."""
    sections["run"] = {"precision": "float32", **sections.get("run", {})}
    sections["data"] = {"validation": 0.0, **sections.get("data", {})}
    return tiny_settings(data, backbone={"weights": str(weights)}, **sections)


@pytest.fixture(scope="module")
def lines():
    return Lines()


@pytest.fixture(scope="module")
def run(weights, tiny_data, tmp_path_factory, lines):
    """A finished run that started from weights."""
    spec = build_run_spec(settings_from(weights, tiny_data))
    return pretrain(spec, tmp_path_factory.mktemp("runs") / "run", reporter=lines)


def test_the_initial_encoder_is_kept_with_its_card(run, weights):
    saved, given = load_file(run.encoder("initial")), load_file(weights)
    assert saved.keys() == given.keys()
    assert all(torch.equal(value, given[name]) for name, value in saved.items())
    assert open_encoder(run, "initial").card == open_encoder(run).card
    assert not run.checkpoint("initial").exists()


def test_the_first_row_has_the_monitored_metrics_of_the_initial_encoder(run, tiny_data):
    first, *others = run.metrics()
    monitored = [row for row in others if "fine_recall@1" in row]
    assert (first["step"], first["epoch"]) == (0, 0)
    assert first.keys() == monitored[-1].keys() >= {"fine_recall@1", "coarse_recall@1", WITHIN}
    assert [row["epoch"] for row in monitored] == [1, 2]


def test_monitored_metrics_are_those_of_retrieve_at_each_checkpoint(run, tiny_data):
    from coarsecon.evaluation.pairing import measure_split

    for checkpoint, row in (("initial", run.metrics()[0]), ("last", run.metrics()[-1])):
        values = measure_split(Run(run.root, features=FeatureSpec(checkpoint)), "test")[0]
        assert row["fine_recall@1"] == pytest.approx(values["fine"]["recall@1"])
        assert row["coarse_recall@1"] == pytest.approx(values["coarse"]["recall@1"])
        assert row[WITHIN] == pytest.approx(values["fine_within_coarse"]["recall@1"])


def test_the_last_lines_say_whether_training_helped(run, lines):
    first, last = run.metrics()[0], run.metrics()[-1]
    values = f"frozen {100 * first[WITHIN]:.1f}, trained {100 * last[WITHIN]:.1f}"
    assert any(line.startswith(f"fine Recall@1 within coarse classes on test: {values}") for line in lines.lines[-3:])


def test_an_interrupted_run_resumes_to_the_same_log_and_the_same_last_lines(
    run, lines, weights, tiny_data, tmp_path, monkeypatch
):
    spec = build_run_spec(settings_from(weights, tiny_data))
    resumed = RunFolder(tmp_path / "run")
    real = loop.Loop._finish_epoch

    def fail_in_the_second(self, epoch):
        if epoch:
            raise KeyboardInterrupt
        real(self, epoch)

    monkeypatch.setattr(loop.Loop, "_finish_epoch", fail_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        pretrain(spec, resumed.root)
    monkeypatch.setattr(loop.Loop, "_finish_epoch", real)
    messages = Lines()
    pretrain(spec, resumed.root, resume=True, reporter=messages)
    assert rows(resumed) == rows(run)
    assert messages.lines[-2:] == lines.lines[-2:]


def test_a_run_that_is_killed_before_its_first_state_starts_with_one_initial_row(weights, tiny_data, tmp_path):
    spec = build_run_spec(settings_from(weights, tiny_data, schedule={"epochs": 1, "warmup_epochs": 0}))
    folder = RunFolder(tmp_path / "run")
    killed = Loop(Pretraining(spec, folder, Reporter()))
    killed.task.losses = None  # the first step fails, after the initial row was written
    with pytest.raises(TypeError):
        killed.run_to_end()
    assert [row["epoch"] for row in folder.metrics()] == [0]
    pretrain(spec, folder.root)
    assert [row["step"] for row in folder.metrics() if "fine_recall@1" in row] == [0, 3]


def test_training_is_the_same_whether_the_initial_encoder_is_evaluated_or_not(run, weights, tiny_data, tmp_path):
    plain = pretrain(build_run_spec(settings_from(weights, tiny_data, run={"monitor_every": 0})), tmp_path / "plain")
    one, other = (load_file(each.encoder()) for each in (run, plain))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert plain.encoder("initial").is_file()
    assert all(row["step"] for row in plain.metrics())


def test_runs_from_random_weights_keep_no_initial_encoder_and_say_so(tiny_run):
    folder = RunFolder(tiny_run)
    assert not folder.encoder("initial").exists()
    assert all(row["step"] for row in folder.metrics())
    with pytest.raises(InputError, match="has no initial encoder, because it started from random weights"):
        open_encoder(folder, "initial")


def test_other_runs_without_an_initial_encoder_say_why(run, tmp_path):
    copy = RunFolder(shutil.copytree(run.root, tmp_path / "copy"))
    copy.encoder("initial").unlink()
    assert "an earlier version trained it" in str(no_encoder(copy.encoder("initial")))
    copy.checkpoint("last").unlink()
    assert "it was imported" in str(no_encoder(copy.encoder("initial")))


def test_the_initial_encoder_has_no_heads(run):
    with pytest.raises(InputError, match="the initial encoder has no heads"):
        load_method(run, "initial")


@pytest.mark.parametrize("words", [["retrieve"], ["knn"], ["fewshot", "--ways", "2", "--queries", "1"], ["localize"],
                                   ["export", "--to", "timm"], ["retrieve", "--query", "IMAGE"]])  # fmt: skip
def test_commands_take_the_initial_checkpoint(coarsecon, run, words, tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    words = [str(tmp_path / "one.png") if word == "IMAGE" else word for word in words]
    device = [] if words[0] == "export" else ["--device", "cpu"]
    done = coarsecon(words[0], run.root, *words[1:], "--checkpoint", "initial", *device)
    assert done.code == 0, done.err


def test_the_initial_and_the_last_encoder_of_a_run_can_be_combined(coarsecon, run, tmp_path):
    done = coarsecon("combine", f"{run.root}@initial", run.root, "--out", tmp_path / "both")
    assert done.code == 0, done.err
    done = coarsecon("retrieve", tmp_path / "both", "--device", "cpu")
    assert done.code == 0, done.err
