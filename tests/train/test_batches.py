"""Order and random numbers: functions of (seed, place) alone, and different for every place."""

import torch

from coarsecon.runtime.seeds import FILLING, ORDER, VIEWS, derived_seed, step_generator
from coarsecon.train.batches import epoch_batches, steps_at_once


def test_an_epoch_shows_every_image_at_most_once_in_full_batches():
    batches = epoch_batches(103, 10, seed=0, epoch=3)
    shown = torch.cat(batches)
    assert [len(batch) for batch in batches] == [10] * 10
    assert len(shown.unique()) == 100
    assert shown.max() < 103


def test_order_depends_on_seed_and_epoch_alone():
    first = torch.cat(epoch_batches(50, 10, seed=0, epoch=0))
    assert torch.equal(first, torch.cat(epoch_batches(50, 10, seed=0, epoch=0)))
    assert not torch.equal(first, torch.cat(epoch_batches(50, 10, seed=0, epoch=1)))
    assert not torch.equal(first, torch.cat(epoch_batches(50, 10, seed=1, epoch=0)))


def test_seeds_of_all_places_differ():
    places = [
        (seed, purpose, step, rank)
        for seed in range(3)
        for purpose in (ORDER, VIEWS, FILLING)
        for step in range(20)
        for rank in (0, 1)
    ]
    assert len({derived_seed(*place) for place in places}) == len(places)


def test_a_steps_draws_can_be_had_again():
    device = torch.device("cpu")
    draws = [torch.rand(3, generator=step_generator(0, VIEWS, step, 0, device)) for step in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_an_accelerator_draws_the_views_of_many_small_batches_together_and_of_a_large_one_alone():
    gpu = torch.device("cuda")
    assert [steps_at_once(128, side, gpu) for side in (32, 64, 224)] == [32, 8, 1]
    assert steps_at_once(128, 32, torch.device("cpu")) == 1
