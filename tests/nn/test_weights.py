"""Weights to start from: loaded safely, adapted to another side, or refused clearly."""

import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from coarsecon.config import BackboneSettings
from coarsecon.errors import InputError
from coarsecon.nn.backbone import check_side, create_backbone
from coarsecon.nn.weights import resize_grid


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
    with pytest.raises(InputError, match=r"does not fit the backbone: .*another network\? Name it with --backbone"):
        create_backbone(BackboneSettings(weights=path), 32)


def test_a_run_in_place_of_its_weights_is_told_which_file_is_meant(tmp_path):
    with pytest.raises(InputError, match=r"is a folder; name the file of weights$"):
        create_backbone(BackboneSettings(weights=tmp_path), 32)
    (tmp_path / "encoder.safetensors").touch()
    with pytest.raises(InputError, match=r"name the file of weights, \S*/encoder.safetensors"):
        create_backbone(BackboneSettings(weights=tmp_path), 32)


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
    check_side(model, 32)


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
    with pytest.raises(InputError, match=r"set data\.size to that one \(timm's own see 224 px\)"):
        create_backbone(BackboneSettings(name=name, weights=path), 32)
