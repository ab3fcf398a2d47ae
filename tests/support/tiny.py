"""A tiny prepared dataset and tiny settings, for tests that train."""

from pathlib import Path

import numpy as np
from torch import Tensor

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import COARSE, FINE, draw
from coarsecon.run.folder import RunFolder
from coarsecon.runtime import seeds
from coarsecon.runtime.progress import Reporter
from coarsecon.train import batches
from coarsecon.train.pretrain import Pretraining
from coarsecon.train.resolve import build_run_spec

TINY_BACKBONE = {
    "name": "resnet18",
    "args": {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16], "stem_type": "deep", "stem_width": 8},
}
"""Runs in milliseconds a batch."""

TINY_METHOD = {"supce": {}, "cnce": {}, "supcon": {"dim": 16}, "simclr": {"dim": 16}}
"""Settings of small methods; all others compare with a queue."""


def write_tiny_dataset(out: Path, *, train: int = 96, test: int = 48, in_order: bool = False) -> Path:
    """A few toy images in the prepared form, shuffled or in the order of their classes."""
    splits = {}
    for place, (name, count) in enumerate({"train": train, "test": test}.items()):
        rng = np.random.default_rng(place)
        fine = np.arange(count) % 16
        fine = np.sort(fine) if in_order else rng.permutation(fine)
        splits[name] = SplitData(labels={"coarse": fine // 4, "fine": fine}, images=draw(fine, rng))
    write_dataset(out, SourceData("tiny", 32, {"coarse": list(COARSE), "fine": FINE}, splits))
    return out


def tiny_settings(path: Path, name: str = "maskcon", /, **sections: dict) -> dict:
    """Layers of settings for a run of seconds."""
    base = {
        "data": {"path": str(path), "workers": 0},
        "backbone": TINY_BACKBONE,
        "method": {"name": name, **TINY_METHOD.get(name, {"queue_size": 80, "dim": 16})},
        "schedule": {"epochs": 2, "warmup_epochs": 1},
        "run": {"batch_size": 32, "log_every": 2, "monitor_every": 1, "device": "cpu"},
    }
    for section, values in sections.items():
        base[section] = {**base[section], **values}
    return base


def tiny_trainer(path: Path, name: str, /, *, side: int = 32, **method: object) -> Pretraining:
    """A trainer in float32, on images of this side in pixels, that writes nothing yet."""
    settings = tiny_settings(path, name, method=method, data={"size": side}, run={"precision": "float32"})
    return Pretraining(build_run_spec(settings), RunFolder(path / "unused"), Reporter())


def first_batch(trainer: Pretraining) -> tuple[dict[str, Tensor], Tensor]:
    """(views, labels) of the first step."""
    size = trainer.config.run.batch_size
    order = batches.epoch_batches(len(trainer.spec.split), size, seed=0, epoch=0)[:1]
    return next(trainer.source.draw(order, seeds.VIEWS, 0))
