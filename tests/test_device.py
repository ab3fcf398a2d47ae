"""Devices and precision: what is asked for is checked, what is left open is found out."""

import pytest
import torch

from coarsecon.device import autocast, choose_device, choose_precision
from coarsecon.errors import InputError


def test_a_device_that_is_not_there_is_told():
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("cuda:99", "gpu", "cpu:x"):
        with pytest.raises(InputError, match=f"device '{name}'"):
            choose_device(name)


def test_auto_precision_is_one_the_hardware_has():
    assert choose_precision("float32", torch.device("cpu")) == "float32"
    assert choose_precision("auto", torch.device("cpu")) in ("float32", "bfloat16")


def test_autocast_is_on_for_bfloat16_alone():
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with autocast(torch.device("cpu"), precision):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
