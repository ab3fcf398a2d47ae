"""Vision towers of open_clip: their names, and files with both towers of a model."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from coarsecon.backbones.candidates import parse_candidate
from coarsecon.backbones.catalog import OPEN_CLIP
from coarsecon.backbones.compare import compare_backbones
from coarsecon.errors import InputError
from coarsecon.run.folder import open_run
from coarsecon.run.restore import open_encoder
from coarsecon.run.spec import Runtime

NAME = "vit_xsmall_patch16_clip_224"
NAMES = {
    "patch_embed.proj.": "conv1.", "norm_pre.": "ln_pre.", "norm.": "ln_post.", "blocks.": "transformer.resblocks.",
    ".norm1.": ".ln_1.", ".norm2.": ".ln_2.", ".attn.qkv.": ".attn.in_proj_", ".attn.proj.": ".attn.out_proj.",
    ".mlp.fc1.": ".mlp.c_fc.", ".mlp.fc2.": ".mlp.c_proj.",
}  # fmt: skip
"""open_clip's names of the parts of a ViT."""


def tower(model: nn.Module) -> dict[str, Tensor]:
    """Weights of a ViT of timm as open_clip saves them."""
    state = {}
    for name, value in model.state_dict().items():
        for ours, theirs in NAMES.items():
            if name.startswith(ours) or ours.startswith("."):
                name = name.replace(ours, theirs)
        state[name] = value
    state["class_embedding"] = state.pop("cls_token")[0, 0]
    state["positional_embedding"] = state.pop("pos_embed")[0]
    state["proj"] = torch.randn(model.num_features, 8)
    return {f"visual.{name}": value.contiguous() for name, value in state.items()}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(NAME, num_classes=0).eval()


@pytest.fixture
def file(model, tmp_path) -> Path:
    """A model of open_clip, with the configuration that open_clip publishes with it."""
    text = {
        "token_embedding.weight": torch.zeros(4, 8), "positional_embedding": torch.zeros(4, 8),
        "transformer.resblocks.0.ln_1.weight": torch.ones(8), "text_projection": torch.zeros(8, 8),
        "logit_scale": torch.tensor(1.0),
    }  # fmt: skip
    save_file({**tower(model), **text}, tmp_path / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "resize_mode": "squash"}
    content = {"model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": 224}}, "preprocess_cfg": preprocess}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    return tmp_path / "open_clip_model.safetensors"


def test_a_file_of_open_clip_is_compared_with_its_own_transform(model, file, tiny_data, tmp_path):
    ranking = compare_backbones(tiny_data, [f"{NAME}={file}"], out=tmp_path / "runs", runtime=Runtime("cpu", workers=0))
    assert ranking.best.scores["fine R@1"].count
    encoder = open_encoder(open_run(ranking.best.run))
    image = encoder.card.input
    assert (image.mean, image.std, image.resize, image.size) == ((0.5,) * 3, (0.25,) * 3, "square", 32)
    for name in ("blocks.0.attn.qkv.weight", "norm_pre.bias", "norm.weight", "cls_token"):
        assert torch.equal(encoder.backbone.state_dict()[name], model.state_dict()[name]), name


@torch.no_grad()
def test_the_features_are_those_before_the_projection(model, file, tmp_path, tiny_data):
    from coarsecon.importers.convert import import_checkpoint

    import_checkpoint(file, "timm", tmp_path / "run", backbone=NAME, size=224)
    images = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(open_encoder(open_run(tmp_path / "run")).backbone(images), model(images))


@pytest.mark.parametrize(("theirs", "ours"), OPEN_CLIP.items())
def test_open_clips_names_are_those_of_weights_of_timm(theirs, ours):
    candidate = parse_candidate(f"open_clip:{theirs}")
    assert (candidate.kind, candidate.name) == ("timm", ours)
    published = timm.models.get_pretrained_cfg(ours)
    assert published.tag
    assert published.hf_hub_id


def test_an_unknown_tower_is_an_error_with_the_known_ones():
    with pytest.raises(InputError, match=r"open_clip:ViT-Z/x: is no vision tower .*ViT-B-32/openai"):
        parse_candidate("open_clip:ViT-Z/x")


def test_the_documentation_lists_the_names():
    text = (Path(__file__).resolve().parents[2] / "docs" / "backbones.md").read_text()
    for theirs, ours in OPEN_CLIP.items():
        assert f"| `{theirs}` | `{ours}` |" in text
