"""Weights to start from: loaded safely, adapted to another side, or refused clearly."""

import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import InputError
from coarsecon.nn.backbone import check_image_size, create_backbone
from coarsecon.nn.fitting import resize_grid
from coarsecon.nn.weights import load_weights


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file_are_loaded_but_for_another_stem(tmp_path, suffix):
    donor = timm.create_model("resnet18", num_classes=7)
    path = tmp_path / f"donor{suffix}"
    save_file(donor.state_dict(), path) if suffix == ".safetensors" else torch.save(donor.state_dict(), path)
    model = create_backbone(BackboneSettings(weights=path), 32)
    assert torch.equal(model.layer4[1].conv2.weight, donor.layer4[1].conv2.weight)
    standard = create_backbone(BackboneSettings(weights=path, stem="standard"), 32)
    assert torch.equal(standard.conv1.weight, donor.conv1.weight)


def test_a_transformers_weights_fit_images_of_another_side(tmp_path):
    tiny = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    donor = timm.create_model("vit_tiny_patch16_224", img_size=64, **tiny)
    with torch.no_grad():  # a slope from left to right, which stays one on another grid
        donor.pos_embed[:, 1:] = torch.linspace(-1, 1, 8).repeat(8)[None, :, None]
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    settings = BackboneSettings(name="vit_tiny_patch16_224", args=tiny, weights=tmp_path / "donor.safetensors")
    model = create_backbone(settings, 32)
    assert torch.equal(model.blocks[0].attn.qkv.weight, donor.blocks[0].attn.qkv.weight)
    rows = model.pos_embed[0, 1:].unflatten(0, (4, 4))
    assert torch.allclose(rows[..., 0], torch.linspace(-1, 1, 4).expand(4, 4), atol=0.2)
    assert (rows.diff(dim=1) > 0).all()


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    with pytest.raises(InputError, match=r"does not fit the backbone: .*of another network, set backbone.name"):
        create_backbone(BackboneSettings(weights=path), 32)


def test_a_run_in_place_of_its_weights_is_told_which_file_is_meant(tmp_path):
    with pytest.raises(InputError, match=r"is a folder; name the checkpoint file$"):
        create_backbone(BackboneSettings(weights=tmp_path), 32)
    (tmp_path / "encoder.safetensors").touch()
    with pytest.raises(InputError, match=r"name the checkpoint file, \S*/encoder.safetensors"):
        create_backbone(BackboneSettings(weights=tmp_path), 32)


SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
"""Arguments of a ResNet of torchvision's form that is small."""


def small_resnet(**args):
    model = timm.create_model("resnet18", **{"num_classes": 0, **SMALL, **args})
    with torch.no_grad():  # no two entries are equal
        for entry in model.state_dict().values():
            if entry.is_floating_point():
                entry.add_(torch.rand_like(entry))
    return model


def started(path, side=32, stem="standard", **settings):
    """A backbone that starts from a file, and what is said of it."""
    lines = []
    model = create_backbone(
        BackboneSettings(args=SMALL, weights=path, stem=stem, **settings), side,
        lambda loaded: lines.extend(loaded.lines()),
    )  # fmt: skip
    return model, lines


def below(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


CONTAINERS = {
    "lightly": lambda net: {"state_dict": below("backbone.", nn.Sequential(*net.children()).state_dict())},
    "solo-learn": lambda net: {"state_dict": {**below("momentum_backbone.", random_like(net)),
                                              **below("backbone.", net.state_dict())}, "hyper_parameters": {"lr": 0.1}},
    "oml": lambda net: {"state_dict": below("model.model.", net.state_dict())},
    "torch.compile": lambda net: below("_orig_mod.", net.state_dict()),
    "torch.compile of DDP": lambda net: {"model": below("_orig_mod.module.", net.state_dict())},
    "DDP inside": lambda net: {"model": below("encoder.module.", net.state_dict())},
    "EMA beside": lambda net: {"state_dict_ema": below("module.", random_like(net)), "state_dict": net.state_dict()},
    "MoCo": lambda net: {"state_dict": {**below("module.encoder_k.", random_like(net)), "module.queue": torch.ones(9),
                                        **below("module.encoder_q.", net.state_dict())}},
    "MoCo v3": lambda net: {"state_dict": {**below("module.momentum_encoder.", random_like(net)),
                                           **below("module.base_encoder.", net.state_dict())}},
    "DINO": lambda net: {"student": below("module.backbone.", random_like(net)),
                         "teacher": below("backbone.", net.state_dict())},
    "nested": lambda net: {"checkpoint": {"weights": net.state_dict()}, "best": np.float64(0.9)},
    "BYOL": lambda net: {"model": {**below("target_encoder.net.", random_like(net)),
                                   **below("online_encoder.net.", net.state_dict())}},
}  # fmt: skip


def random_like(net):
    return {name: torch.rand_like(value) if value.is_floating_point() else value
            for name, value in net.state_dict().items()}  # fmt: skip


@pytest.mark.parametrize("kind", CONTAINERS)
def test_weights_are_found_below_the_prefixes_of_every_library(kind, tmp_path):
    net = small_resnet()
    torch.save(CONTAINERS[kind](net), tmp_path / "c.pth")
    model, lines = started(tmp_path / "c.pth")
    for name, value in net.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert f"initial weights: {len(net.state_dict())} of {len(net.state_dict())} backbone entries" in lines[0]
    assert len(lines) == 1


def test_the_chosen_part_of_a_file_is_named_and_another_can_be_chosen(tmp_path):
    net, average = small_resnet(), small_resnet()
    torch.save({"state_dict": net.state_dict(), "state_dict_ema": average.state_dict()}, tmp_path / "c.pth")
    model, lines = started(tmp_path / "c.pth")
    assert torch.equal(model.conv1.weight, net.conv1.weight)
    assert "c.pth (state_dict); the file also has state_dict_ema (backbone.weights_key)" in lines[0]
    model, lines = started(tmp_path / "c.pth", weights_key="state_dict_ema")
    assert torch.equal(model.conv1.weight, average.conv1.weight)
    assert "(state_dict_ema)" in lines[0]
    with pytest.raises(InputError, match=r"no weights called 'teacher'; use one of state_dict, state_dict_ema"):
        started(tmp_path / "c.pth", weights_key="teacher")
    with pytest.raises(InputError, match=r"weights_key: needs a checkpoint; set backbone.weights"):
        create_backbone(BackboneSettings(weights_key="teacher"), 32)


def test_weights_for_gray_images_give_the_same_features_of_gray_images_in_color(tmp_path):
    gray = small_resnet(in_chans=1).eval()
    torch.save(gray.state_dict(), tmp_path / "gray.pth")
    model, lines = started(tmp_path / "gray.pth")
    images = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(model.eval()(images.expand(-1, 3, -1, -1)), gray(images), atol=1e-4, rtol=1e-4)
    assert "conv1.weight has one channel, which is repeated for 3" in lines[0]


def test_a_stem_that_is_not_the_files_is_reported_with_the_way_to_keep_it(tmp_path):
    net = small_resnet()
    torch.save(net.state_dict(), tmp_path / "c.pth")
    model, lines = started(tmp_path / "c.pth", stem="auto")
    assert lines[1] == (
        "warning: 1 backbone entry is randomly initialized: conv1.weight is [64, 3, 7, 7] instead of "
        "[64, 3, 3, 3] (backbone.stem=standard keeps it)"
    )
    assert torch.equal(model.layer4[0].conv2.weight, net.layer4[0].conv2.weight)
    save_file(model.state_dict(), tmp_path / "small.safetensors")
    _, lines = started(tmp_path / "small.safetensors", side=96)
    assert "conv1.weight is [64, 3, 3, 3] instead of [64, 3, 7, 7] (backbone.stem=small keeps it)" in lines[1]


def test_a_few_missing_entries_are_named_and_many_are_refused(tmp_path):
    state = small_resnet().state_dict()
    path = tmp_path / "c.pth"
    torch.save({name: value for name, value in state.items() if name not in ("conv1.weight", "bn1.bias")}, path)
    _, lines = started(path)
    assert "2 backbone entries are randomly initialized: conv1.weight is missing" in lines[1]
    assert "bn1.bias is missing" in lines[1]
    torch.save({name: value for name, value in state.items() if "running" not in name}, path)
    _, lines = started(path)
    assert "and 22 more" in lines[1]
    torch.save(dict(list(state.items())[: len(state) * 2 // 3]), path)
    with pytest.raises(InputError, match=r"does not fit the backbone: 21 of 7\d entries are missing"):
        started(path)
    torch.save({name: value for name, value in state.items() if name != "conv1.weight"}, path)
    with pytest.raises(InputError, match=r"does not fit the backbone: 1 of 78 entries"):
        load_weights(small_resnet(), path, fresh_stem=False)


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("inf"), "infinite values")])
def test_weights_that_are_no_numbers_are_refused_with_their_layer(value, word, tmp_path):
    net = small_resnet()
    with torch.no_grad():
        net.layer2[0].bn1.weight[3:5] = value
    torch.save(net.state_dict(), tmp_path / "c.pth")
    with pytest.raises(InputError, match=rf"c.pth: layer2.0.bn1.weight contains {word} \(2 of 8 values\)"):
        started(tmp_path / "c.pth")


def test_weights_of_timm_are_kept_where_a_small_stem_has_their_shape(monkeypatch):
    create, lines = timm.create_model, []
    made = []

    def pretrained(name, **args):
        made.append(create(name, **{**args, "pretrained": False}))
        return made[-1]

    monkeypatch.setattr(timm, "create_model", pretrained)
    settings = BackboneSettings(name="mobilenetv3_small_050", pretrained=True)
    create_backbone(settings, 32, lambda loaded: lines.extend(loaded.lines()))
    assert len(lines) == 1
    model = create_backbone(settings, 32, lambda loaded: lines.extend(loaded.lines()))
    assert model.conv_stem.stride == (1, 1)
    settings = BackboneSettings(name="resnet18", args=SMALL, pretrained=True)
    create_backbone(settings, 32, lambda loaded: lines.extend(loaded.lines()))
    assert "from timm's resnet18" in lines[-2]
    assert "conv1.weight is [64, 3, 7, 7] instead of [64, 3, 3, 3]" in lines[-1]


class Hostile:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": Hostile()}, path)
    with pytest.raises(InputError, match="can be loaded safely"):
        create_backbone(BackboneSettings(weights=path), 32)
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(InputError, match="can be loaded safely"):
        create_backbone(BackboneSettings(weights=path), 32)
    assert "unpickled" not in capsys.readouterr().out


FOR_A_SIDE = {
    "cait_xxs24_224": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "hiera_tiny_224": {"embed_dim": 16, "num_heads": 1, "stages": [1, 1, 1, 1]},
    "pit_ti_224": {"base_dims": [8, 8, 8], "depth": [1, 1, 1], "heads": [1, 1, 1]},
    "samvit_base_patch16": {"embed_dim": 16, "depth": 1, "num_heads": 2},
}
"""Transformers whose position embeddings timm itself does not resize."""


@pytest.mark.parametrize("name", FOR_A_SIDE)
def test_position_embeddings_of_every_form_are_resized(name, tmp_path):
    settings = BackboneSettings(name=name, args=FOR_A_SIDE[name], weights=tmp_path / "donor.safetensors")
    donor = timm.create_model(name, **{"img_size": 96, **FOR_A_SIDE[name]})
    save_file(donor.state_dict(), settings.weights)
    model = create_backbone(settings, 32)
    assert torch.equal(model.state_dict()["pos_embed"], resize_grid(donor.pos_embed, model.pos_embed.shape))
    check_image_size(model, 32)


@pytest.mark.parametrize(("old", "new"), [((1, 16, 2), (1, 4, 2)), ((1, 2, 4, 4), (1, 2, 2, 2)),
                                          ((1, 4, 4, 2), (1, 2, 2, 2)), ((1, 3, 16, 2), (1, 3, 4, 2))])  # fmt: skip
def test_a_slope_stays_one_on_another_grid(old, new):
    axis = next(i for i, size in enumerate(old) if size != new[i])
    joined = old[axis] == 16
    slope = torch.linspace(-1, 1, 4)[:, None].expand(4, 4)  # from top to bottom
    values = (slope.reshape(-1) if joined else slope).view(*[1] * axis, *([16] if joined else [4, 4]),
                                                           *[1] * (len(old) - axis - 1 - (not joined)))  # fmt: skip
    resized = resize_grid(values.expand(old), new)
    assert resized.shape == new
    rows = resized.flatten(axis, axis + (not joined)).movedim(axis, -1).unflatten(-1, (2, 2))
    torch.testing.assert_close(rows[..., 0, :], -rows[..., 1, :])
    torch.testing.assert_close(rows[..., 0], rows[..., 1])
    assert (rows[..., 0, :] < -0.4).all()


def test_what_is_no_square_grid_is_left_as_it_is():
    for shape in ((1, 6, 2), (1, 4, 3), (4, 2)):
        values = torch.randn(1, 16, 2)
        assert resize_grid(values, shape) is values


def test_weights_that_hold_for_one_side_name_it(tmp_path):
    name, path = "gmlp_ti16_224", tmp_path / "donor.safetensors"
    save_file(create_backbone(BackboneSettings(name=name), 64).state_dict(), path)
    with pytest.raises(InputError, match=r"set data\.size to that size \(timm's weights are for 224 px\)"):
        create_backbone(BackboneSettings(name=name, weights=path), 32)
