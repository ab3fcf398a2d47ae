"""Heat maps: hot where the network responds, faithful to what follows the map, and refused where there is no map."""

import numpy as np
import pytest
import torch
from tiny import TINY_BACKBONE
from torch import nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import InputError
from coarsecon.evaluation.localizer import Localizer, load_localizer, location_features
from coarsecon.nn.backbone import create_backbone, feature_dim
from coarsecon.nn.encoder import Encoder, EncoderCard, InputTransform
from coarsecon.run.facade import Run
from coarsecon.run.spec import Runtime
from coarsecon.views.batch import ImageBatch

NETWORKS = {
    "resnet18": (32, TINY_BACKBONE["args"]),
    "convnext_atto": (64, {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 16)}),
    "mobilenetv3_small_050": (64, {}),
    "swin_tiny_patch4_window7_224": (
        32,
        {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1), "window_size": 2},
    ),
    "vit_tiny_patch16_224": (48, {"embed_dim": 16, "depth": 1, "num_heads": 2}),
    "deit_tiny_distilled_patch16_224": (48, {"embed_dim": 16, "depth": 1, "num_heads": 2}),
    "vit_base_patch16_siglip_224": (48, {"embed_dim": 16, "depth": 1, "num_heads": 2}),
}


class Brightness(nn.Module):
    """A network whose features are the brightness of a fourth of a side squared."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward_features(self, images):
        return nn.functional.avg_pool2d(images.clamp(min=0), images.shape[-1] // 4) * self.scale

    def forward_head(self, features):
        return features.mean((2, 3))


def encoder_of(backbone: nn.Module, size: int, **recipe: str) -> Encoder:
    image = InputTransform(size=size, mean=(0.5,) * 3, std=(0.25,) * 3, **recipe)
    return Encoder(backbone.eval(), EncoderCard(backbone=BackboneSettings(), input=image))


def tiny_network(name: str = "resnet18") -> tuple[nn.Module, int]:
    size, args = NETWORKS[name]
    torch.manual_seed(0)
    return create_backbone(BackboneSettings(name=name, args=args), size).eval(), size


@pytest.mark.parametrize(("corner", "at"), [("top left", (0, 0)), ("top right", (0, 3)), ("bottom left", (3, 0))])
@pytest.mark.parametrize("shape", [(32, 32), (150, 90)])
def test_it_is_hot_where_the_network_responds(corner, at, shape):
    image = np.zeros((*shape, 3), np.uint8)
    rows = slice(0, shape[0] // 4) if "top" in corner else slice(-(shape[0] // 4), None)
    columns = slice(0, shape[1] // 4) if "left" in corner else slice(-(shape[1] // 4), None)
    image[rows, columns] = 255
    (heat,) = Localizer(encoder_of(Brightness(), 32), None, "backbone")([image])
    assert heat.shape == (4, 4)
    assert np.unravel_index(heat.argmax(), heat.shape) == at
    assert np.sort(heat.ravel())[-2] < heat.max() / 2


@pytest.mark.parametrize("name", NETWORKS)
def test_a_location_is_what_the_head_makes_of_it_when_it_fills_the_map(name):
    backbone, size = tiny_network(name)
    images = torch.randn(2, 3, size, size)
    found, features = location_features(backbone, images), backbone.forward_features(images).detach()
    _, height, width, dim = found.shape
    assert dim == feature_dim(backbone)
    for i, j in ((0, 0), (height - 1, 0), (height // 2, width - 1)):
        if features.ndim == 3:
            token = features.shape[1] - height * width + i * width + j
            alone = features[:, token : token + 1]
        elif features.shape[1:3] == (height, width):
            alone = features[:, i : i + 1, j : j + 1]
        else:
            alone = features[:, :, i : i + 1, j : j + 1]
        filled = backbone.forward_head(alone.expand_as(features))
        torch.testing.assert_close(found[:, i, j], filled, rtol=1e-4, atol=1e-5)


def test_the_mean_of_a_linear_projection_over_the_locations_is_the_projection_of_the_pooled_feature():
    backbone, size = tiny_network()
    images, project = torch.randn(3, 3, size, size), nn.Linear(16, 5)
    locations = project(location_features(backbone, images)).mean((1, 2))
    torch.testing.assert_close(locations, project(backbone(images)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recipe", [{}, {"filter": "high-pass"}])
def test_the_input_recipe_is_that_of_the_features(recipe):
    backbone, size = tiny_network()
    encoder = encoder_of(backbone, size, **recipe)
    batch = ImageBatch.full(torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8))
    pooled = location_features(backbone, encoder.inputs(batch)).mean((1, 2))
    torch.testing.assert_close(nn.functional.normalize(pooled), encoder.embed(batch), rtol=1e-4, atol=1e-5)


def test_the_heat_of_a_run_is_the_norm_of_its_projection(tiny_run):
    images = list(np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8))
    localizer = load_localizer(Run(tiny_run, runtime=Runtime("cpu")), "projector")
    assert localizer.layer == "projector"
    heats = localizer(images)
    assert len(heats) == 18
    batch = ImageBatch.full(torch.from_numpy(images[17]).permute(2, 0, 1)[None])
    features = location_features(localizer.encoder.backbone, localizer.encoder.inputs(batch))
    expected = localizer.project(features[0, 1, 2][None]).norm()
    assert heats[17][1, 2] == pytest.approx(expected.item(), rel=1e-4)
    backbone = load_localizer(Run(tiny_run, runtime=Runtime("cpu")), "backbone")(images[:1])[0]
    np.testing.assert_allclose(backbone[0, 1], backbone_norm(localizer, images[0])[0, 1], rtol=1e-4)


def backbone_norm(localizer: Localizer, image: np.ndarray) -> np.ndarray:
    batch = ImageBatch.full(torch.from_numpy(image).permute(2, 0, 1)[None])
    return location_features(localizer.encoder.backbone, localizer.encoder.inputs(batch))[0].norm(dim=-1).numpy()


def test_a_single_location_is_refused():
    backbone = create_backbone(BackboneSettings(name="resnet18", stem="standard"), 32).eval()
    with pytest.raises(InputError, match="single location"):
        location_features(backbone, torch.zeros(1, 3, 32, 32))


def test_networks_without_a_map_are_refused():
    with pytest.raises(InputError, match="has no forward_features; localization is not supported"):
        location_features(nn.Linear(1, 1), torch.zeros(1, 3, 8, 8))
    pooled = Brightness()
    pooled.forward_features = lambda images: images.mean((2, 3))
    with pytest.raises(InputError, match="neither a map nor patch tokens"):
        location_features(pooled, torch.zeros(1, 3, 8, 8))
    fixed = Brightness()
    fixed.forward_head = lambda features: features.reshape(-1, 3, 4, 4).mean((2, 3))
    with pytest.raises(InputError, match=r"cannot process a single location|no feature per location"):
        location_features(fixed, torch.zeros(1, 3, 8, 8))


def test_maps_cover_the_entire_image_also_where_the_input_is_cropped():
    backbone, size = tiny_network()
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    cropped = Localizer(encoder_of(backbone, size, resize="shorter", crop_pct=0.5), None, "backbone")([image])
    complete = Localizer(encoder_of(backbone, size), None, "backbone")([image])
    assert np.array_equal(cropped[0], complete[0])
