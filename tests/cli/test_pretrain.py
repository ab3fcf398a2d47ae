"""`coarsecon pretrain`: layers of settings, resuming, and what is printed at the end."""

import json
import re
import shutil

import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny import TINY_BACKBONE, tiny_settings, write_tiny_dataset

from coarsecon.config import BackboneSettings
from coarsecon.nn.backbone import create_backbone
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.fixture(scope="module")
def finished(tiny_data, tmp_path_factory):
    """A finished run of one epoch."""
    settings = tiny_settings(
        tiny_data, run={"monitor_every": 10, "log_every": 50, "seed": 0}, schedule={"epochs": 1, "warmup_epochs": 0}
    )
    return pretrain(build_run_spec(settings), tmp_path_factory.mktemp("runs") / "finished").root


def tiny_config(path, data, **method):
    path.write_text(
        yaml.safe_dump(
            {
                "data": {"path": str(data), "workers": 0}, "backbone": TINY_BACKBONE,
                "method": {"name": "maskcon", "queue_size": 64, "dim": 16, **method},
                "schedule": {"epochs": 1, "warmup_epochs": 0}, "run": {"batch_size": 32, "device": "cpu"},
            }
        )
    )  # fmt: skip
    return path


def test_flags_win_over_set_over_file_over_recipe(coarsecon, tiny_data, tmp_path):
    out = tmp_path / "run"
    config = tiny_config(tmp_path / "tiny.yaml", tiny_data, t=0.07)
    done = coarsecon("pretrain", "--recipe", "maskcon-sop", "--config", config, "--set", "method.t0=0.2", "--set",
                     "optimizer.lr=1e-2", "--set", "run.seed=5", "--seed", 7, "--set", "data.size=32",
                     "--set", "backbone.stem=small", "--out", out)  # fmt: skip
    assert done.code == 0, done.err
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["recipe"] == "maskcon-sop"
    assert saved["method"]["w"] == 0.8
    assert saved["method"]["t"] == 0.07
    assert saved["method"]["t0"] == 0.2
    assert saved["optimizer"]["lr"] == 0.01
    assert saved["run"]["seed"] == 7


def test_the_end_names_the_files_and_the_next_command(coarsecon, tiny_data, tmp_path):
    out = tmp_path / "run"
    done = coarsecon("pretrain", "--config", tiny_config(tmp_path / "c.yaml", tiny_data), "--out", out)
    assert f"wrote {out / 'encoder.safetensors'}" in done.err
    assert f"next: coarsecon retrieve {out}" in done.err
    assert re.search(r"training: 96/96 images,.* epoch 1/1, loss \d", done.err)


def test_resume_refuses_other_settings_and_accepts_the_same(coarsecon, tiny_data, tmp_path):
    out = tmp_path / "run"
    config = tiny_config(tmp_path / "c.yaml", tiny_data)
    assert coarsecon("pretrain", "--config", config, "--out", out).code == 0
    again = coarsecon("pretrain", "--config", config, "--out", out)
    assert again.code == 2
    assert "--resume" in again.err
    other = coarsecon("pretrain", "--out", out, "--resume", "--set", "optimizer.lr=0.5")
    assert other.code == 2
    assert "optimizer.lr was 0.02, now 0.5" in other.err
    assert coarsecon("pretrain", "--config", config, "--out", out, "--resume").code == 0
    assert coarsecon("pretrain", "--out", out, "--resume", "--device", "cpu").code == 0


def test_a_run_resumes_with_a_dataset_that_moved_and_with_no_other_images(coarsecon, tiny_data, tmp_path):
    out, data, moved = tmp_path / "run", tmp_path / "data", tmp_path / "moved"
    shutil.copytree(tiny_data, data)
    assert coarsecon("pretrain", "--config", tiny_config(tmp_path / "tiny.yaml", data), "--out", out).code == 0
    data.rename(moved)
    told = coarsecon("pretrain", "--out", out, "--resume")
    assert told.code == 2
    assert f"{data}: the dataset of {out} no longer exists; set data.path (--data) to its present folder" in told.err
    assert coarsecon("pretrain", "--out", out, "--resume", "--data", moved).code == 0
    assert coarsecon("pretrain", "--out", out, "--resume").code == 0  # the new place is remembered
    other = write_tiny_dataset(tmp_path / "other", train=64)
    told = coarsecon("pretrain", "--out", out, "--resume", "--data", other)
    assert told.code == 2
    assert f"{other}: cannot resume: the dataset differs from the one {out} was trained on" in told.err


def test_a_run_made_before_there_was_a_setting_resumes_with_its_default(coarsecon, tiny_data, tmp_path):
    out = tmp_path / "run"
    assert coarsecon("pretrain", "--config", tiny_config(tmp_path / "c.yaml", tiny_data), "--out", out).code == 0
    saved = yaml.safe_load((out / "config.yaml").read_text())
    del saved["optimizer"]["name"], saved["method"]["t0"], saved["run"]["compile"]
    (out / "config.yaml").write_text(yaml.safe_dump(saved))
    assert coarsecon("pretrain", "--out", out, "--resume").code == 0
    other = coarsecon(
        "pretrain", "--out", out, "--resume", "--set", "optimizer.kind=adamw", "--set", "optimizer.lr=1e-3"
    )
    assert other.code == 2
    assert other.err.startswith("Warning: optimizer.kind is now called optimizer.name\n")
    assert "optimizer.name was 'sgd', now 'adamw'" in other.err


def test_a_run_resumes_on_another_machine_with_settings_that_do_not_change_its_result(coarsecon, tiny_data, tmp_path):
    out, weights = tmp_path / "run", tmp_path / "weights.safetensors"
    config = tiny_config(tmp_path / "c.yaml", tiny_data)
    save_file(create_backbone(BackboneSettings(**TINY_BACKBONE), 32).state_dict(), weights)
    assert coarsecon("pretrain", "--config", config, "--init-from", weights, "--out", out).code == 0
    weights.unlink()
    saved = yaml.safe_load((out / "config.yaml").read_text())
    saved["run"]["device"] = "cuda:7"
    (out / "config.yaml").write_text(yaml.safe_dump(saved))
    changed = {"data.workers": 1, "run.compile": "false", "run.log_every": 7, "run.monitor_every": 0,
               "run.monitor_knn": "true", "run.precision": "float32", "backbone.weights": "elsewhere.pth"}  # fmt: skip
    settings = [part for name, value in changed.items() for part in ("--set", f"{name}={value}")]
    done = coarsecon("pretrain", "--out", out, "--resume", "--device", "cpu", *settings)
    assert done.code == 0, done.err
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert (saved["data"]["workers"], saved["run"]["log_every"], saved["run"]["device"]) == (1, 7, "cpu")


@pytest.mark.parametrize(
    ("setting", "words"),
    [("run.seed=3", "run.seed was 0, now 3"), ("schedule.epochs=9", "schedule.epochs was 1, now 9"),
     ("run.monitor_images=9", "run.monitor_images was 2000, now 9"), ("method.dim=8", "method.dim was 16, now 8"),
     ("data.limit=64", "data.limit was None, now 64"),
     ("backbone.weights=w.pth", "backbone.weights was None, now 'w.pth'"),
     ("run.batch_size=16", "run.batch_size was 32, now 16")],
)  # fmt: skip
def test_resume_refuses_a_setting_that_changes_the_result_with_both_values(
    coarsecon, tiny_data, finished, setting, words
):
    done = coarsecon("pretrain", "--out", finished, "--resume", "--set", setting)
    assert done.code == 2
    assert words in done.err


def test_a_limited_run_from_before_images_were_drawn_resumes_with_its_first_images(coarsecon, tmp_path):
    data, out = write_tiny_dataset(tmp_path / "data", in_order=True), tmp_path / "run"
    config = tiny_config(tmp_path / "c.yaml", data)
    assert coarsecon("pretrain", "--config", config, "--limit", 40, "--out", out).code == 0
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["data"].pop("limit_draw") == "even"
    (out / "config.yaml").write_text(yaml.safe_dump(saved))
    done = coarsecon("pretrain", "--out", out, "--resume")
    assert done.code == 0, done.err
    assert yaml.safe_load((out / "config.yaml").read_text())["data"]["limit_draw"] == "first"
    done = coarsecon("pretrain", "--out", out, "--resume", "--set", "data.limit_draw=even")
    assert done.code == 2
    assert "data.limit_draw was 'first', now 'even'" in done.err


def test_initial_weights_are_reported_and_recorded_also_once_the_run_is_resumed(coarsecon, tiny_data, tmp_path):
    args = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
    net = timm.create_model("resnet18", num_classes=3, **args)
    torch.save(
        {"state_dict": {f"backbone.{name}": value for name, value in net.state_dict().items()}}, tmp_path / "w.pth"
    )
    words = ["--data", tiny_data, "--out", tmp_path / "run", "--method", "supce", "--set", f"backbone.args={args}",
             "--epochs", 1, "--batch-size", 32, "--device", "cpu"]  # fmt: skip
    done = coarsecon("pretrain", *words, "--init-from", tmp_path / "w.pth", "--set", "backbone.weights_key=backbone")
    assert done.code == 0, done.err
    assert f"initial weights: 77 of 78 backbone entries from {tmp_path / 'w.pth'} (state_dict.backbone)" in done.err
    assert "not used: fc (2)" in done.err
    assert "warning: 1 backbone entry is randomly initialized: conv1.weight is [64, 3, 7, 7]" in done.err
    assert "backbone.stem=standard keeps it" in done.err
    done = coarsecon("pretrain", "--out", tmp_path / "run", "--resume")
    assert "initial weights" not in done.err
    record = json.loads((tmp_path / "run" / "environment.json").read_text())["initial_weights"]
    assert (record["loaded"], record["total"], record["unused"]) == (77, 78, ["fc (2)"])
    assert record["new"][0].startswith("conv1.weight")


def test_a_transformer_trains_on_small_images_from_weights_for_larger_ones(coarsecon, tiny_data, tmp_path):
    args = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    donor = timm.create_model("vit_tiny_patch16_224", img_size=64, **args)
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    words = [f"backbone.args={args}", "optimizer.name=adamw", "optimizer.lr=1e-3", "method.queue_size=64"]
    done = coarsecon(
        "pretrain", "--data", tiny_data, "--out", tmp_path / "run", "--backbone", "vit_tiny_patch16_224",
        "--init-from", tmp_path / "donor.safetensors", "--epochs", 1, "--batch-size", 32, "--device", "cpu",
        *(part for word in words for part in ("--set", word)),
    )  # fmt: skip
    assert done.code == 0, done.err
    found = coarsecon("retrieve", tmp_path / "run", "--device", "cpu", "--json", "-")
    assert found.code == 0, found.err


def test_a_dataset_of_large_images_trains_from_files(coarsecon, tmp_path):
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(24):
        folder = tmp_path / "photos" / ("red" if i % 2 else "blue")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (90 + i, 110, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
    data = tmp_path / "data"
    assert coarsecon("prepare", "folder", "--source", tmp_path / "photos", "--size", 72, "--out", data).code == 0
    config = tiny_config(tmp_path / "c.yaml", data)
    for workers in (0, 2):
        out = tmp_path / f"run{workers}"
        done = coarsecon(
            "pretrain", "--config", config, "--batch-size", 8, "--set", f"data.workers={workers}", "--out", out
        )
        assert done.code == 0, done.err
    weights = [load_file(tmp_path / f"run{workers}" / "encoder.safetensors") for workers in (0, 2)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_set_speaks_to_the_method_that_is_named_beside_it(coarsecon, tiny_data, tmp_path):
    out = tmp_path / "run"
    config = tiny_config(tmp_path / "c.yaml", tiny_data)
    done = coarsecon(
        "pretrain", "--config", config, "--method", "simclr", "--set", "method.temperature=0.3",
        "--set", "method.dim=24", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    method = yaml.safe_load((out / "config.yaml").read_text())["method"]
    assert (method["name"], method["temperature"], method["dim"]) == ("simclr", 0.3, 24)
    assert "queue_size" not in method


def test_a_folder_that_cannot_be_made_is_told(coarsecon, tiny_data, tmp_path):
    config = tiny_config(tmp_path / "c.yaml", tiny_data)
    (tmp_path / "file").touch()
    done = coarsecon("pretrain", "--config", config, "--out", tmp_path / "file" / "run")
    assert done.code == 1
    assert f"error: {tmp_path / 'file' / 'run'}: cannot be written" in done.err
    assert "--debug" not in done.err


def test_a_run_stopped_before_its_first_encoder_tells_how_to_resume_it(coarsecon, tiny_data, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    tiny_config(run / "config.yaml", tiny_data)
    for arguments in (["retrieve", run], ["pretrain", "--out", run]):
        done = coarsecon(*arguments)
        assert done.code == 2
        assert str(run) in done.err
        assert "--resume" in done.err
    assert f"coarsecon pretrain --out {run} --resume" in coarsecon("retrieve", run).err


def test_a_second_interrupt_tells_how_to_go_on(coarsecon, tiny_data, tmp_path, monkeypatch):
    from coarsecon.train.loop import Loop

    def interrupts(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "train_step", interrupts)
    out = tmp_path / "run"
    words = ("--data", tiny_data, "--out", out, "--epochs", 1, "--batch-size", 32, "--backbone", "resnet10t")
    done = coarsecon("pretrain", *words, "--device", "cpu")
    assert done.code == 130
    assert f"stopped at once, without saving; continue with: coarsecon pretrain --out {out} --resume" in done.err


def test_an_interrupt_before_the_run_begins_names_no_run_to_resume(coarsecon, tiny_data, tmp_path, monkeypatch):
    from coarsecon.train import pretrain

    def interrupts(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain.Pretraining, "__init__", interrupts)
    done = coarsecon("pretrain", "--data", tiny_data, "--out", tmp_path / "run", "--batch-size", 32, "--device", "cpu")
    assert done.code == 130
    assert "--resume" not in done.err
    assert "Interrupted" in done.err


def test_another_backbone_than_the_recipes_goes_without_its_arguments(coarsecon, tiny_data, tmp_path):
    out = tmp_path / "run"
    done = coarsecon(
        "pretrain", "--recipe", "maskcon-toy", "--data", tiny_data, "--backbone", "test_vit", "--set",
        "backbone.args={embed_dim: 16, depth: 1, num_heads: 2}", "--set", "data.size=32", "--set",
        "method.queue_size=64", "--epochs", 1, "--batch-size", 32, "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert f"test_vit on 96 images at 32 px, 1 epoch, cpu in {precision_of(out)}" in done.err
    backbone = yaml.safe_load((out / "config.yaml").read_text())["backbone"]
    assert (backbone["stem"], backbone["args"]) == ("standard", {"embed_dim": 16, "depth": 1, "num_heads": 2})


def precision_of(out):
    return yaml.safe_load((out / "config.yaml").read_text())["run"]["precision"]


def test_a_backbone_that_cannot_take_the_images_is_told_before_anything_begins(coarsecon, tiny_data, tmp_path):
    out = tmp_path / "run"
    args = {"embed_dim": 16, "num_heads": 1, "stages": [1, 1, 1, 1]}
    done = coarsecon(
        "pretrain", "--data", tiny_data, "--backbone", "hiera_tiny_224", "--set", f"backbone.args={args}",
        "--set", "data.size=40", "--batch-size", 32, "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert done.code == 2
    assert done.err.startswith("error: backbone.name (--backbone): hiera_tiny_224 takes no images of 40 px")
    assert not out.exists()


def test_a_full_disk_is_told_in_a_line_and_leaves_no_half_state(coarsecon, tiny_data, tmp_path, small_disk):
    config, out = tiny_config(tmp_path / "tiny.yaml", tiny_data), small_disk / "run"
    (small_disk / "ballast").write_bytes(bytes(400_000))  # room for the settings and the views, not for a state
    done = coarsecon("pretrain", "--config", config, "--out", out)
    assert done.code == 1
    assert "error: No space left on device: free space where this command writes" in done.err
    assert "Error:" not in done.err
    assert not [*out.glob("checkpoints/*"), *out.glob(".files*"), *out.glob("*.safetensors")]
