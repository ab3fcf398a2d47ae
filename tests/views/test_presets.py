"""The named views as a whole: draws, independence of the samples, normalisation, devices."""

import pytest
import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.views import autoaugment, blur, color, geometry
from coarsecon.views.base import View
from coarsecon.views.batch import ImageBatch
from coarsecon.views.presets import VIEW_NAMES, default_views, make_view

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
RANDOM = [name for name in VIEW_NAMES if name != "test"]


def view_of(name: str, size: int = 24) -> View:
    return make_view(name, size=size, mean=MEAN, std=STD)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_views_are_squares_of_the_size_within_the_range(name: str, padded: ImageBatch) -> None:
    pixels = view_of(name).pixels(padded, seeded(0))
    assert pixels.shape == (8, 3, 24, 24)
    assert pixels.dtype == torch.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 255


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_gives_the_same_views_and_another_seed_others(name: str, padded: ImageBatch) -> None:
    view = view_of(name)
    assert torch.equal(view(padded, seeded(1)), view(padded, seeded(1)))
    assert not torch.equal(view(padded, seeded(1)), view(padded, seeded(2)))


@pytest.mark.parametrize("name", RANDOM)
def test_global_random_state_is_neither_used_nor_changed(name: str, padded: ImageBatch) -> None:
    before = torch.get_rng_state()
    view_of(name)(padded, seeded(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", RANDOM)
def test_every_sample_has_its_own_draws(name: str, images: Tensor) -> None:
    same = ImageBatch.full(images[:1].byte().expand(32, -1, -1, -1))
    assert len(view_of(name)(same, seeded(0)).flatten(1).unique(dim=0)) == 32


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_no_sample_influences_another(name: str, padded: ImageBatch) -> None:
    other = ImageBatch(padded.pixels.clone(), padded.sizes)
    other.pixels[3] = 255 - other.pixels[3]
    before, after = (view_of(name)(batch, seeded(4)) for batch in (padded, other))
    changed = (before != after).flatten(1).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_the_batch_is_left_as_it_was(name: str, padded: ImageBatch) -> None:
    before = padded.pixels.clone()
    view_of(name)(padded, seeded(0))
    assert torch.equal(padded.pixels, before)


def test_views_are_normalised_with_mean_and_std(padded: ImageBatch) -> None:
    view = view_of("simclr")
    pixels, normalised = view.pixels(padded, seeded(0)), view(padded, seeded(0))
    for channel in range(3):
        expected = (pixels[:, channel] / 255 - MEAN[channel]) / STD[channel]
        torch.testing.assert_close(normalised[:, channel], expected, atol=1e-5, rtol=1e-5)


def test_the_test_view_draws_nothing_and_needs_no_generator(padded: ImageBatch) -> None:
    view = view_of("test")
    assert torch.equal(view(padded, None), view(padded, seeded(7)))
    assert torch.equal(view(padded), view_of("test")(padded))


def test_autocast_does_not_make_views_coarser(padded: ImageBatch) -> None:
    view = view_of("simclr-blur")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = view(padded, seeded(0))
    assert torch.equal(inside, view(padded, seeded(0)))


def test_ops_run_in_their_order(padded: ImageBatch) -> None:
    def double(images: Tensor, generator: torch.Generator) -> Tensor:
        return images * 2

    def add_one(images: Tensor, generator: torch.Generator) -> Tensor:
        return images + 1

    plain = view_of("test").pixels(padded)
    view = View(24, MEAN, STD, geometry.Resize(), [double, add_one])
    assert torch.equal(view.pixels(padded), plain * 2 + 1)


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'simcrl'; did you mean 'simclr'"):
        view_of("simcrl")


def test_default_views_are_those_of_the_image_size() -> None:
    assert default_views(32) == default_views(64) == ("autoaugment", "weak")
    assert default_views(65) == default_views(224) == ("cars", "weak-perspective")
    assert {*default_views(32), *default_views(224)} <= set(VIEW_NAMES)


def test_nothing_is_read_back_from_the_device() -> None:
    """Tensors of the meta device hold no values, so that whatever needs one on the host fails."""
    images = torch.empty(6, 3, 16, 16, device="meta")
    values, indices = torch.empty(6, device="meta"), torch.empty(6, dtype=torch.long, device="meta")
    boxes = torch.empty(6, 4, dtype=torch.long, device="meta")
    corners = torch.empty(6, 4, 2, dtype=torch.long, device="meta")
    results = [
        geometry.resized_crop(images.byte(), boxes, 16, flip=values > 0),
        geometry.perspective(images, corners),
        color.adjust_brightness(images, values),
        color.adjust_contrast(images, values),
        color.adjust_saturation(images, values),
        color.adjust_hue(images, values),
        blur.gaussian_blur(images, values),
        autoaugment.apply_operations(images, indices, values),
    ]
    assert all(result.shape == images.shape for result in results)


def test_operations_compile_into_one_graph(images: Tensor) -> None:
    indices = torch.arange(len(images)) % (autoaugment.NOTHING + 1)
    values = torch.full((len(images),), 0.5)
    eager = autoaugment.apply_operations
    compiled = torch.compile(eager, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images, indices, values), eager(images, indices, values))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", VIEW_NAMES)
def test_views_on_a_gpu_never_wait_for_it(name: str, padded: ImageBatch) -> None:
    batch, generator = padded.to("cuda"), torch.Generator("cuda").manual_seed(0)
    view = view_of(name)
    view(batch, generator)  # constants are copied once
    torch.cuda.set_sync_debug_mode("error")
    try:
        pixels = view.pixels(batch, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert pixels.isfinite().all()
