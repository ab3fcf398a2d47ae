"""Runs that start from weights see images as the weights did; others by the statistics of the dataset."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from tiny import TINY_BACKBONE, tiny_settings

from coarsecon.config import BackboneSettings, RunConfig
from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources.folder import SOURCE
from coarsecon.errors import InputError
from coarsecon.methods.base import Setup
from coarsecon.nn.backbone import create_backbone
from coarsecon.nn.encoder import InputTransform, load_encoder
from coarsecon.nn.published import find_published_transform
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import load_method
from coarsecon.runtime.progress import Reporter
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of the tiny backbone, with a configuration of timm next to them."""
    (tmp_path / "published").mkdir()
    path = tmp_path / "published" / "model.safetensors"
    torch.manual_seed(0)
    save_file(create_backbone(BackboneSettings(**TINY_BACKBONE), 80).state_dict(), path)
    published = {"mean": HALF, "std": [0.25] * 3, "interpolation": "bicubic", "crop_pct": 0.8, "crop_mode": "center"}
    (path.parent / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": published}))
    return path


@pytest.fixture
def photos(tmp_path: Path, save_image: Callable[..., Path]) -> Path:
    """A dataset of 24 training and 8 test photos for 80 px, none of them square."""
    for i in range(32):
        split = "test" if i % 4 == 3 else "train"
        save_image(tmp_path / "photos" / split / f"c{i % 2}" / f"f{i % 8 // 2}" / f"{i}.png", (90 + i, 160 - 2 * i), i)
    prepare_dataset(SOURCE, tmp_path / "data", source=tmp_path / "photos", size=80, workers=1)
    return tmp_path / "data"


def settings_for(path: Path, **sections: dict) -> dict:
    sections["run"] = {"batch_size": 8, "monitor_every": 0, **sections.get("run", {})}
    return tiny_settings(path, method={"queue_size": 8, "dim": 8}, **sections)


PUBLISHED = InputTransform(size=80, mean=HALF, std=(0.25,) * 3, resize="shorter", interpolation="bicubic", crop_pct=0.8)


def test_initial_weights_bring_their_transform(photos: Path, weights: Path) -> None:
    spec = build_run_spec(settings_for(photos, backbone={"weights": str(weights)}))
    assert spec.card.input == PUBLISHED
    assert spec.config.backbone.input_transform == "weights"
    assert spec.notes()[0] == (
        f"Input transform of the weights ({weights.parent / 'config.json'}): mean 0.5 0.5 0.5, std 0.25 0.25 0.25, the "
        "shorter side resized to 100 px by antialiased bicubic, the center cropped to 80 x 80 px."
    )


def test_random_weights_get_the_statistics_of_the_dataset(photos: Path) -> None:
    spec = build_run_spec(settings_for(photos))
    info = open_dataset(photos).info
    assert spec.card.input == InputTransform(size=80, mean=info.mean, std=info.normalizing_std)
    assert spec.config.backbone.input_transform == "dataset"
    assert not any("Input transform" in note for note in spec.notes())


def test_the_dataset_may_be_chosen_for_weights_and_timms_transform_without_them(photos: Path, weights: Path) -> None:
    asked = {"weights": str(weights), "input_transform": "dataset"}
    spec = build_run_spec(settings_for(photos, backbone=asked))
    assert spec.card.input == build_run_spec(settings_for(photos)).card.input
    assert "statistics of the dataset" in spec.notes()[0]
    spec = build_run_spec(settings_for(photos, backbone={"input_transform": "weights"}))
    assert spec.card.input == find_published_transform("resnet18", 80).transform


def test_pretrained_weights_of_timm_bring_the_transform_of_their_name(photos: Path) -> None:
    asked = {"name": "tf_efficientnet_lite0", "args": {}, "pretrained": True}
    spec = build_run_spec(settings_for(photos, backbone=asked))
    assert (spec.card.input.mean, spec.card.input.crop_pct, spec.card.input.resize) == (HALF, 0.875, "shorter")
    assert "timm's configuration of tf_efficientnet_lite0.in1k" in spec.notes()[0]


def test_squares_in_an_array_stay_complete(tiny_data: Path, weights: Path) -> None:
    for size in (32, 96):
        spec = build_run_spec(tiny_settings(tiny_data, backbone={"weights": str(weights)}, data={"size": size}))
        assert spec.card.input == replace_framing(PUBLISHED, size)


def replace_framing(transform: InputTransform, size: int) -> InputTransform:
    return transform.model_copy(update={"size": size, "resize": "square", "crop_pct": 1.0})


def test_the_filter_is_that_of_the_method(photos: Path, weights: Path) -> None:
    settings = settings_for(photos, backbone={"weights": str(weights)})
    spec = build_run_spec({**settings, "method": {"name": "salmask", "queue_size": 8, "dim": 8}})
    assert spec.card.input == PUBLISHED.model_copy(update={"filter": "high-pass"})


def test_training_views_use_the_interpolation_and_statistics_of_the_weights(photos: Path, weights: Path) -> None:
    spec = build_run_spec(settings_for(photos, backbone={"weights": str(weights)}))
    views = spec.build_method().views()
    assert {view.crop.interpolation for view in views.values()} == {"bicubic"}
    assert {tuple(view.mean) for view in views.values()} == {HALF}
    plain = build_run_spec(settings_for(photos)).build_method().views()
    assert {view.crop.interpolation for view in plain.values()} == {"bilinear"}


def test_a_trained_run_keeps_the_transform_for_its_encoders_and_its_method(photos: Path, weights: Path) -> None:
    settings = settings_for(photos, backbone={"weights": str(weights)}, schedule={"epochs": 1})
    run = pretrain(build_run_spec(settings), photos.parent / "run")
    for checkpoint in ("last", "initial"):
        encoder = load_encoder(run.encoder(checkpoint))
        assert encoder.card.input == PUBLISHED
    assert {view.crop.interpolation for view in load_method(run).views().values()} == {"bicubic"}
    (batch,) = ImageLoader(open_dataset(photos).split("test"), torch.device("cpu"), 0).batches([torch.arange(8)])
    assert not torch.allclose(encoder.inputs(batch), encoder.inputs(batch, whole=True))


def test_a_resumed_run_keeps_its_transform_when_the_weights_have_moved(photos: Path, weights: Path) -> None:
    root = photos.parent / "run"
    settings = settings_for(photos, backbone={"weights": str(weights)}, schedule={"epochs": 2})
    pretrain(build_run_spec(replace_epochs(settings, 1)), root)
    for file in weights.parent.iterdir():
        file.unlink()
    spec = build_run_spec(RunFolder(root).settings() | {"schedule": settings["schedule"]})
    assert spec.card.input == find_published_transform("resnet18", 80).transform
    pretrain(spec, root, resume=True)
    assert load_encoder(RunFolder(root).encoder()).card.input == PUBLISHED


def replace_epochs(settings: dict, epochs: int) -> dict:
    return {**settings, "schedule": {**settings["schedule"], "epochs": epochs}}


def test_runs_of_earlier_versions_keep_the_statistics_of_the_dataset(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for values, expected in (("pretrained: true", "dataset"), ("input_transform: weights", "weights")):
        run.config_file.write_text(f"backbone: {{{values}}}")
        assert run.config().backbone.input_transform == expected


def test_a_run_from_weights_of_an_earlier_version_resumes_with_the_same_numbers(photos: Path, weights: Path) -> None:
    settings = settings_for(photos, backbone={"weights": str(weights), "input_transform": "dataset"})
    root = photos.parent / "run"
    pretrain(build_run_spec(replace_epochs(settings, 1)), root)
    saved = yaml.safe_load((root / "config.yaml").read_text())
    del saved["backbone"]["input_transform"]
    (root / "config.yaml").write_text(yaml.safe_dump(saved))
    spec = build_run_spec(RunFolder(root).settings())
    assert spec.config.backbone.input_transform == "dataset"
    assert spec.card.input == load_encoder(RunFolder(root).encoder()).card.input


def test_a_malformed_configuration_is_reported_before_anything_is_written(photos: Path, weights: Path) -> None:
    (weights.parent / "config.json").write_text('{"pretrained_cfg": {"mean": [0.5]}}')
    with pytest.raises(InputError, match=r"config\.json: has no usable input transform .*; fix or move it"):
        build_run_spec(settings_for(photos, backbone={"weights": str(weights)}))


def test_a_patch_size_that_does_not_divide_is_reported_with_the_nearest_sizes(photos: Path) -> None:
    tiny = {"embed_dim": 16, "depth": 1, "num_heads": 2}
    backbone = {"name": "vit_tiny_patch16_224", "args": tiny}
    spec = build_run_spec(settings_for(photos, backbone=backbone, data={"size": 90}))
    with pytest.raises(
        InputError, match=r"data\.size: 90 px is not divisible by .*16 px.*; set data\.size to 80 or 96"
    ):
        pretrain(spec, photos.parent / "run", reporter=Reporter())
    assert not (photos.parent / "run").exists()
    build_run_spec(settings_for(photos, backbone=backbone)).build_method()


def test_views_of_a_setup_follow_its_interpolation() -> None:
    setup = Setup(torch.nn.Identity(), 3, 2, 32, mean=HALF, std=HALF)
    assert setup.view("weak").crop.interpolation == "bilinear"
    assert replace(setup, interpolation="bicubic").view("cars").crop.interpolation == "bicubic"


def test_the_setting_is_strict() -> None:
    with pytest.raises(ValueError, match="input_transform"):
        RunConfig.model_validate({"backbone": {"input_transform": "imagenet"}})
