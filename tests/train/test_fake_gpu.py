"""What a GPU would be given, asked of one that is not there (`fake_gpu.py`), in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

from coarsecon import registry

METHODS = sorted(entry.name for entry in registry.entries(registry.METHODS) if entry.distribution == "coarsecon")


@pytest.fixture(scope="module")
def told(tiny_data) -> dict:
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch knows no devices of one's own")
    script = Path(__file__).parents[1] / "support" / "fake_gpu.py"
    command = [sys.executable, str(script), str(tiny_data), *METHODS, "maskcon:resnet18"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": str(script.parent)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", METHODS)
def test_no_step_waits_for_the_device_or_mixes_devices(told, name):
    assert told[name]["waits"] == []


def test_a_step_of_maskcon_starts_few_kernels(told):
    """At 5 to 7 µs to start each, 400 bound batches of 128 to 46,000 to 64,000 images/s."""
    with_views, without = told["maskcon:resnet18"]["launches"]
    assert without <= 410
    assert with_views - without <= 520  # once in 32 steps of such batches
