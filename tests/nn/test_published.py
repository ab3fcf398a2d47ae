"""The input transform that weights bring: from the files next to them, else from timm's configuration."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm

from coarsecon.errors import InputError
from coarsecon.nn.encoder import InputTransform
from coarsecon.nn.published import find_published_transform

HALF = (0.5, 0.5, 0.5)


def weights_with(tmp_path: Path, name: str, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / name).write_text(text)
    return tmp_path / "weights.safetensors"


def transform_of(name: str, size: int | None = None, file: Path | None = None) -> InputTransform:
    return find_published_transform(name, size, file).transform


def card(**transform: Any) -> dict[str, Any]:
    return {"backbone": {"name": "resnet18"}, "input": {"size": 48, "mean": HALF, "std": HALF, **transform}}


def test_a_model_of_timm_brings_statistics_interpolation_and_crop() -> None:
    found = find_published_transform("tf_efficientnet_lite0", 128)
    expected = InputTransform(size=128, mean=HALF, std=HALF, resize="shorter", interpolation="bicubic", crop_pct=0.875)
    assert found.transform == expected
    assert found.origin == "timm's configuration of tf_efficientnet_lite0.in1k"


def test_weights_of_one_network_differ_in_their_transform() -> None:
    first, second = transform_of("resnet18.a1_in1k"), transform_of("resnet18.tv_in1k")
    assert (first.size, first.interpolation, first.crop_pct) == (224, "bicubic", 0.95)
    assert (second.size, second.interpolation, second.crop_pct) == (224, "bilinear", 0.875)


def test_every_published_model_but_the_rectangular_ones_has_a_transform() -> None:
    rectangular = []
    for name in timm.list_pretrained():
        cfg = timm.models.get_pretrained_cfg(name)
        try:
            transform = transform_of(name)
        except InputError as error:
            rectangular.append((name, error.problem))
            transform = transform_of(name, 64)
        assert transform.mean == cfg.mean
        assert transform.std == cfg.std
        assert transform.interpolation == cfg.interpolation
        assert transform.resize == ("shorter" if cfg.crop_mode == "center" else "square")
    assert rectangular
    assert all("which are not square" in problem for _, problem in rectangular)
    assert all(len(set(timm.models.get_pretrained_cfg(name).input_size[1:])) == 2 for name, _ in rectangular)


def test_the_card_next_to_a_file_comes_first(tmp_path: Path) -> None:
    file = weights_with(tmp_path, "config.json", {"pretrained_cfg": {"mean": [0.1] * 3}})
    weights_with(tmp_path, "encoder.json", card(mean=(0.3, 0.3, 0.3)))
    found = find_published_transform("resnet18", 32, file)
    assert found.transform.mean == (0.3, 0.3, 0.3)
    assert (found.transform.size, found.transform.resize) == (32, "square")
    assert found.origin == str(tmp_path / "encoder.json")
    weights_with(tmp_path, "weights.json", card(mean=(0.2, 0.2, 0.2)))
    assert transform_of("resnet18", None, file).mean == (0.2, 0.2, 0.2)
    assert transform_of("resnet18", None, file).size == 48


@pytest.mark.parametrize("in_section", [True, False])
def test_the_configuration_of_timm_next_to_a_file_comes_before_the_name(tmp_path: Path, in_section: bool) -> None:
    published = {"mean": [0.1, 0.2, 0.3], "std": HALF, "crop_mode": "squash", "crop_pct": 1.0,
                 "interpolation": "bilinear", "input_size": [3, 96, 96]}  # fmt: skip
    content = {"architecture": "resnet18", **({"pretrained_cfg": published} if in_section else published)}
    found = find_published_transform("resnet18", None, weights_with(tmp_path, "config.json", content))
    assert found.transform == InputTransform(size=96, mean=(0.1, 0.2, 0.3), std=HALF)
    assert found.origin == str(tmp_path / "config.json")


def test_what_a_configuration_leaves_out_is_what_timm_assumes(tmp_path: Path) -> None:
    file = weights_with(tmp_path, "config.json", {"pretrained_cfg": {"mean": HALF, "std": HALF, "crop_pct": None}})
    transform = transform_of("resnet18", None, file)
    assert (transform.size, transform.interpolation, transform.crop_pct) == (224, "bicubic", 0.875)


@pytest.mark.parametrize("content", [{"model_type": "vit", "hidden_size": 384}, {"pretrained_cfg": None}])
def test_a_configuration_of_another_project_says_nothing(tmp_path: Path, content: Any) -> None:
    file = weights_with(tmp_path, "config.json", content)
    assert find_published_transform("resnet18", 32, file).origin == "timm's configuration of resnet18.a1_in1k"


def test_a_file_alone_has_the_transform_that_timm_names(tmp_path: Path) -> None:
    found = find_published_transform("tf_efficientnet_lite0.in1k", 112, tmp_path / "lite0.safetensors")
    assert found.transform == transform_of("tf_efficientnet_lite0", 112)


def test_a_border_becomes_the_complete_image_and_a_crop_above_the_image_is_cut() -> None:
    (border,) = {t.resize for t in map(transform_of, timm.list_pretrained("deepseek_vit_412m.*"))}
    assert border == "square"
    assert transform_of("volo_d5_512").crop_pct == 1


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("encoder.json", "{", "is no card of an encoder"),
        ("encoder.json", {"mean": HALF}, "is no card of an encoder"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", [1], "not a JSON object"),
        ("config.json", {"pretrained_cfg": {"mean": [0.5], "std": HALF}}, "no usable input transform"),
        ("config.json", {"pretrained_cfg": {"mean": HALF, "std": [0.5, 0, 0.5]}}, "no usable input transform"),
        ("config.json", {"pretrained_cfg": {"mean": HALF, "crop_mode": "tiles"}}, "no usable input transform"),
        ("config.json", {"pretrained_cfg": {"mean": HALF, "input_size": [3, 224, 160]}}, "224 x 160 px"),
    ],
)
def test_a_malformed_file_next_to_the_weights_is_an_error(
    tmp_path: Path, name: str, content: Any, problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        transform_of("resnet18", None, weights_with(tmp_path, name, content))
    assert raised.value.hint
    assert name in str(raised.value)


def test_images_that_are_not_square_need_a_size() -> None:
    with pytest.raises(InputError, match="1024 x 768 px, which are not square; set size"):
        transform_of("vit_base_patch16_sapiens2.fb")
    assert transform_of("vit_base_patch16_sapiens2.fb", 256).size == 256


@pytest.mark.parametrize(
    ("name", "problem"),
    [("resnet1x", "no model called"), ("resnet18.imaginary", "a1_in1k"), ("hf-hub:a/b", "no model")],
)
def test_an_unknown_model_or_tag_is_an_error(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        transform_of(name, 32)


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)


@pytest.mark.parametrize(
    ("preprocess", "expected"),
    [
        ({}, {"mean": CLIP_MEAN, "resize": "shorter"}),
        ({"mean": HALF, "std": HALF, "resize_mode": "squash"}, {"mean": HALF, "std": HALF, "resize": "square"}),
        ({"interpolation": "bilinear", "resize_mode": "longest"}, {"interpolation": "bilinear", "resize": "square"}),
    ],
)
def test_an_open_clip_config_next_to_the_file_describes_a_tower(tmp_path, preprocess, expected) -> None:
    content = {"model_cfg": {"vision_cfg": {"image_size": 240}}, "preprocess_cfg": preprocess}
    file = weights_with(tmp_path, "open_clip_config.json", content)
    found = find_published_transform("vit_large_patch14_clip_224", file=file)
    assert found.origin == str(tmp_path / "open_clip_config.json")
    assert (found.transform.size, found.transform.crop_pct) == (240, 1.0)
    assert {name: getattr(found.transform, name) for name in expected} == expected


@pytest.mark.parametrize("content", [{}, {"model_cfg": {"vision_cfg": {"image_size": 224}}, "preprocess_cfg": {
    "resize_mode": "fill"
}}, {"model_cfg": 3, "preprocess_cfg": {}}])  # fmt: skip
def test_a_malformed_open_clip_config_is_an_error(tmp_path, content) -> None:
    file = weights_with(tmp_path, "open_clip_config.json", content)
    with pytest.raises(InputError, match=r"open_clip_config\.json: has no usable input transform"):
        transform_of("vit_large_patch14_clip_224", file=file)
