"""A tiny prepared dataset and tiny settings, for tests that train."""

from pathlib import Path

import numpy as np

from coarsecon.data.prepare import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import COARSE, FINE, draw

TINY_BACKBONE = {
    "name": "resnet18",
    "args": {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16], "stem_type": "deep", "stem_width": 8},
}
"""Runs in milliseconds a batch."""


def write_tiny_dataset(out: Path, *, train: int = 96, test: int = 48) -> Path:
    """A few toy images in the prepared form."""
    splits = {}
    for place, (name, count) in enumerate({"train": train, "test": test}.items()):
        rng = np.random.default_rng(place)
        fine = rng.permutation(np.arange(count) % 16)
        splits[name] = SplitData(labels={"coarse": fine // 4, "fine": fine}, images=draw(fine, rng))
    write_dataset(out, SourceData("tiny", 32, {"coarse": list(COARSE), "fine": FINE}, splits))
    return out


def tiny_settings(path: Path, name: str = "maskcon", /, **sections: dict) -> dict:
    """Layers of settings for a run of seconds."""
    base = {
        "data": {"path": str(path), "workers": 0},
        "backbone": TINY_BACKBONE,
        "method": {"name": name, **({} if name == "supce" else {"queue_size": 80, "dim": 16})},
        "schedule": {"epochs": 2, "warmup_epochs": 1},
        "run": {"batch_size": 32, "log_every": 2, "monitor_every": 1, "device": "cpu"},
    }
    for section, values in sections.items():
        base[section] = {**base[section], **values}
    return base
