"""The tools for whole batches: masks, separable maps, draws."""

import torch

from coarsecon.views.batched import apply_separable, apply_where, chance, uniform


def test_only_the_chosen_samples_change_and_with_their_own_parameters() -> None:
    images = torch.ones(4, 3, 2, 2)
    mask, added = torch.tensor([True, False, True, False]), torch.tensor([10.0, 20, 30, 40])
    changed = apply_where(mask, lambda chosen, values: chosen + values[:, None, None, None], images, added)
    assert changed[:, 0, 0, 0].tolist() == [11, 1, 31, 1]
    assert (images == 1).all()


def test_an_op_for_no_sample_is_not_called() -> None:
    images = torch.ones(2, 3, 2, 2)
    assert apply_where(torch.zeros(2, dtype=torch.bool), lambda _: 1 / 0, images) is images


def test_every_sample_is_computed_where_counting_them_would_wait_for_the_device() -> None:
    images, mask = torch.ones(4, 3, 2, 2, device="meta"), torch.ones(4, dtype=torch.bool, device="meta")
    seen = []
    result = apply_where(mask, lambda chosen: seen.append(len(chosen)) or chosen, images)
    assert seen == [4]
    assert result.shape == images.shape


def test_separable_maps_act_on_rows_and_columns_of_each_sample() -> None:
    images, rows, columns = torch.rand(3, 2, 5, 7), torch.rand(3, 4, 5), torch.rand(3, 6, 7)
    expected = torch.einsum("nsh,nchw,ntw->ncst", rows, images, columns)
    torch.testing.assert_close(apply_separable(images, rows, columns), expected)


def test_draws_keep_to_their_range_and_probability(generator: torch.Generator) -> None:
    values = uniform((1000, 20), -2, 3, generator)
    assert -2 <= values.min() < -1.99
    assert 2.99 < values.max() <= 3
    assert abs(values.mean() - 0.5) < 0.03
    assert abs(chance(20_000, 0.3, generator).float().mean() - 0.3) < 0.01
    assert not chance(1000, 0.0, generator).any()
    assert chance(1000, 1.0, generator).all()
