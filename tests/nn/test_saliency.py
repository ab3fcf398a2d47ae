"""Saliency: where the map is high, the foreground is; networks that cannot tell are refused."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.backbone import create_backbone
from coarsecon.nn.saliency import check_extractor, create_extractor, find_foreground, last_feature_map, saliency_map


class Darkness(nn.Module):
    """A network whose last feature map, four times coarser than the image, is high where the image is bright."""

    def forward_features(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 4)


def extractor(name: str, **settings) -> nn.Module:
    return create_extractor(
        name, **{"image_size": 32, "pretrained": False, "weights": None, "stem": "standard"} | settings
    )


def test_the_foreground_rule_is_numpys_on_each_row():
    values = torch.randn(200, 49, generator=torch.Generator().manual_seed(0)) * 5 + 3
    expected = [row >= row.mean() - 0.6 * row.std() for row in values.numpy()]
    assert np.array_equal(find_foreground(values).numpy(), np.stack(expected))


def test_a_flat_map_is_all_foreground():
    for value in (0.0, 0.1, 1e4 / 3, -7.7):
        assert find_foreground(torch.full((2, 49), value)).all()


def test_an_object_on_the_left_stays_on_the_left():
    images = torch.zeros(2, 3, 32, 32)
    images[0, ..., :8] = 1
    images[0, :, 8:16, 8:16] = 1
    images[1, :, 24:] = 1
    images[1, :, 16:24, 24:] = 1
    values = saliency_map(Darkness(), images, 4)
    assert values.shape == (2, 16)
    torch.testing.assert_close(values[0].view(4, 4)[:, 0], torch.full((4,), 3.0))  # the sum of three channels
    foreground = find_foreground(values).view(2, 4, 4)
    assert foreground[0].nonzero().tolist() == [[0, 0], [1, 0], [1, 1], [2, 0], [3, 0]]
    assert foreground[1].nonzero().tolist() == [[2, 3], [3, 0], [3, 1], [3, 2], [3, 3]]


def test_maps_finer_and_coarser_than_the_grid_are_resized_to_it():
    bright_right = torch.zeros(1, 3, 56, 56)
    bright_right[..., 48:] = 1
    finer = saliency_map(Darkness(), bright_right, 7).view(7, 7)  # 14 x 14
    torch.testing.assert_close(finer, torch.tensor([0.0] * 6 + [3.0]).expand(7, 7))
    coarser = saliency_map(Darkness(), bright_right[..., 40:, 40:], 7).view(7, 7)  # 4 x 4
    torch.testing.assert_close(coarser[:, -1], torch.full((7,), 3.0))
    assert coarser[:, :3].abs().max() == 0


def test_small_images_can_be_enlarged_for_the_network():
    seen = []

    class Watching(Darkness):
        def forward_features(self, images):
            seen.append(images.shape[-1])
            return super().forward_features(images)

    for side in (128, 32, None):
        saliency_map(Watching(), torch.zeros(1, 3, 32, 32), 4, image_size=side)
    assert seen == [128, 32, 32]


def test_the_map_is_made_in_evaluation_mode_without_gradient_or_trace():
    network = create_backbone(BackboneSettings(), 32).train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    features = last_feature_map(network, torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 512, 4, 4)
    assert not features.requires_grad
    assert network.training
    assert network.bn1.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_an_extractor_is_frozen_and_its_weights_come_from_a_file(tmp_path):
    donor = timm.create_model("resnet10t", num_classes=3)
    path = tmp_path / "donor.safetensors"
    save_file(donor.state_dict(), path)
    network = extractor("resnet10t", pretrained=True, weights=path)  # the file goes first: nothing is fetched
    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network.layer4[0].conv2.weight.detach(), donor.layer4[0].conv2.weight.detach())


def test_timms_weights_out_of_reach_are_one_clear_error(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        CoarseconError, match=r"method\.saliency: the weights .* set method\.saliency_weights .*, or set"
    ):
        extractor("resnet18", pretrained=True)


def test_networks_without_a_feature_map_are_refused():
    tiny = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    vit = create_backbone(BackboneSettings(name="vit_tiny_patch16_224", args=tiny), 32)
    with pytest.raises(InputError, match="VisionTransformer has tokens"):
        check_extractor(vit, 32)
    channels_at_the_end = nn.Identity()
    channels_at_the_end.forward_features = lambda images: images
    channels_at_the_end.output_fmt = "NHWC"
    with pytest.raises(InputError, match="has tokens"):
        check_extractor(channels_at_the_end, 32)


def test_a_map_of_one_cell_is_refused():
    network = extractor("resnet10t")
    with pytest.raises(InputError, match=r"32 px .* single cell"):
        check_extractor(network, 32)
    check_extractor(network, 128)
    check_extractor(extractor("resnet10t", stem="small"), 32)


def test_a_network_that_is_not_known_or_has_no_stem_is_a_mistake_of_the_method_not_of_the_backbone():
    with pytest.raises(
        InputError, match=r"^method\.saliency: timm has no model called 'resnet_18'; did you mean resnet18"
    ):
        extractor("resnet_18")
    with pytest.raises(InputError, match=r"^method\.saliency: vit_tiny_patch16_224 has no convolutional stem"):
        extractor("vit_tiny_patch16_224", stem="small")


def test_a_file_for_another_stem_is_refused_because_the_stem_would_stay_random(tmp_path):
    path = tmp_path / "donor.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    with pytest.raises(InputError, match=r"does not fit the backbone: .*conv1\.weight"):
        extractor("resnet18", weights=path, stem="small")
