"""The arguments of a backbone describe its architecture; none of them can load a file."""

import pytest
import timm

from coarsecon.config import BackboneSettings
from coarsecon.errors import InputError
from coarsecon.nn.arguments import architecture_arguments, check_arguments
from coarsecon.nn.backbone import create_backbone


@pytest.mark.parametrize(
    "key",
    [
        "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "pretrained_filter_fn",
        "checkpoint_path", "cache_dir", "file", "url", "hf_hub_id", "state_dict", "model_cfg", "weights",
    ],
)  # fmt: skip
def test_arguments_that_can_load_weights_are_refused_with_the_remedy(key, tmp_path):
    settings = BackboneSettings(name="resnet18", args={key: str(tmp_path / "weights.pth")})
    with pytest.raises(InputError, match=f"backbone.args: {key} is not allowed.*backbone.weights"):
        create_backbone(settings, 32)


@pytest.mark.parametrize("key", ["num_classes", "in_chans", "features_only", "scriptable", "base", "no_such_argument"])
def test_arguments_that_are_not_of_the_architecture_are_refused(key):
    with pytest.raises(InputError, match=f"resnet18 does not take an argument {key!r}"):
        create_backbone(BackboneSettings(name="resnet18", args={key: 1}), 32)


def test_a_misspelled_argument_is_corrected():
    with pytest.raises(InputError, match=r"did you mean channels\?"):
        check_arguments("resnet18", {"chanels": [8, 8, 8, 8]})


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("resnet18", {"layers": [1, 1, 1, 1], "channels": [16] * 4, "stem_type": "deep", "stem_width": 8}),
        ("resnet12", {"drop_rate": 0.1, "dropblock_size": 2}),
        ("vit_tiny_patch16_224", {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8, "drop_path_rate": 0.1}),
        ("swinv2_tiny_window8_256", {"pretrained_window_sizes": (2, 2, 2, 2), "strict_img_size": False}),
        ("tf_efficientnetv2_s", {"depth_multiplier": 1.0}),
    ],
)
def test_arguments_of_the_architecture_are_taken(name, args):
    check_arguments(name, args)


def test_every_registered_model_has_arguments_and_none_loads_weights():
    modules = {timm.models.model_entrypoint(name).__module__: name for name in timm.list_models()}
    for name in set(modules.values()) - {"small_stem"}:
        allowed = architecture_arguments(name)
        assert {"drop_rate", "global_pool"} & allowed, name
        assert not allowed & {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}


@pytest.mark.parametrize(
    "name",
    ["hf-hub:timm/resnet18.a1_in1k", "hf_hub:x/y", "local-dir:/tmp", "https://a.b/c", "timm/resnet18", "../a", ""],
)
def test_only_names_that_timm_registers_are_models(name):
    with pytest.raises(InputError, match="timm has no model called"):
        create_backbone(BackboneSettings(name=name), 32)
