"""What the tests share: a promise to stay off the network, one thread a worker, and the shared folder."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from golden import SHARED


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the project; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared material is not at hand")
    return SHARED


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared dataset: 96 training and 48 test images of 16 fine and 4 coarse classes."""
    from tiny import write_tiny_dataset

    return write_tiny_dataset(tmp_path_factory.mktemp("tiny") / "data")
