"""Devices and precision: what is asked for is checked, what is left open is found out."""

import pytest
import torch
from torch import nn

from coarsecon.errors import InputError
from coarsecon.runtime import device
from coarsecon.runtime.device import autocast, choose_device, choose_precision, to_device


def test_a_device_that_is_not_there_is_told():
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("cuda:99", "gpu", "cpu:x"):
        with pytest.raises(InputError, match=f"device: .*'{name}'"):
            choose_device(name)


CPU = torch.device("cpu")


def test_weights_of_convolutions_lie_channels_last_beside_those_of_other_ranks():
    module = to_device(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, (1, 3, 3)), nn.Linear(3, 4)), CPU)
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert module[1].weight.is_contiguous()


@pytest.fixture
def timed(monkeypatch):
    """A processor with instructions for bfloat16, and the seconds that it takes for either type."""
    device._gains_from_bfloat16.cache_clear()
    monkeypatch.setattr("coarsecon.runtime.device._has_instructions", lambda: True)

    def take(*seconds: float) -> None:
        times = dict(zip((torch.float32, torch.bfloat16), seconds, strict=True))
        monkeypatch.setattr("coarsecon.runtime.device._seconds_of_convolution", lambda dtypes: times)

    yield take
    device._gains_from_bfloat16.cache_clear()


@pytest.mark.parametrize(("seconds", "chosen"), [((2, 1), "bfloat16"), ((1, 0.9), "float32"), ((0.6, 1), "float32")])
def test_auto_precision_is_the_faster_one(timed, seconds, chosen):
    timed(*seconds)
    assert choose_precision("auto", CPU) == chosen
    assert choose_precision("float32", CPU) == "float32"
    assert choose_precision("bfloat16", CPU) == "bfloat16"


def test_a_processor_without_the_instructions_is_not_timed(timed, monkeypatch):
    timed(2, 1)
    monkeypatch.setattr("coarsecon.runtime.device._has_instructions", lambda: False)
    assert choose_precision("auto", CPU) == "float32"


def test_the_time_of_more_work_is_longer():
    seconds = device._seconds_of_convolution((torch.float32, torch.float64))
    assert 0 < seconds[torch.float32] < seconds[torch.float64]


def test_autocast_is_on_for_bfloat16_alone():
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with autocast(torch.device("cpu"), precision):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
