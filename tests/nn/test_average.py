"""The average of weights: the recursion and its closed form, buffers, and names."""

import pytest
import torch
from torch import nn

from coarsecon.nn.average import WeightAverage

DECAY = 0.9


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_the_average_of_a_constant_source_approaches_it_geometrically():
    source = network()
    average = WeightAverage({"encoder": source}, DECAY)
    start = source[0].weight.detach().clone()
    nn.init.constant_(source[0].weight, 2.0)
    for _ in range(5):
        average.update({"encoder": source})
    expected = DECAY**5 * start + (1 - DECAY**5) * 2
    assert torch.allclose(average.encoder[0].weight, expected, atol=1e-6)


def test_parameters_and_running_statistics_follow_the_recursion_and_counts_are_copied():
    source = network()
    average = WeightAverage({"encoder": source}, DECAY)
    expected = {name: value.clone() for name, value in source.state_dict().items()}
    for step in range(4):
        source(torch.randn(8, 3) + step)
        with torch.no_grad():
            source[0].bias.add_(0.5)
        average.update({"encoder": source})
        for name, value in source.state_dict().items():
            is_count = name.endswith("num_batches_tracked")
            expected[name] = value.clone() if is_count else DECAY * expected[name] + (1 - DECAY) * value
    assert expected["1.num_batches_tracked"] == 4
    for name, value in average.encoder.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name


def test_copies_have_the_names_of_their_sources_and_are_never_trained():
    sources = {"encoder": network(), "projector": nn.Linear(4, 2)}
    average = WeightAverage(sources, DECAY)
    assert list(average.modules_by_name()) == list(sources)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert not average.encoder.training
    assert sources["encoder"].training


def test_modules_that_do_not_match_are_refused():
    average = WeightAverage({"encoder": network()}, DECAY)
    with pytest.raises(ValueError, match="zip"):
        average.update({"encoder": nn.Linear(3, 4)})
