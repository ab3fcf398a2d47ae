"""The log of a training: metrics.jsonl, and TensorBoard or Weights & Biases where configured."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from coarsecon.config import Settings, to_yaml
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.extras import require_extra
from coarsecon.runtime.files import atomic_write
from coarsecon.train.environment import describe_environment

Row = dict[str, Any]


class Sink(Protocol):
    """A destination of rows."""

    def write(self, row: Row) -> None:
        """Write one row; `step` and `epoch` are among its keys."""

    def close(self) -> None:
        """Flush and close."""


class NoLog:
    """A sink that discards its rows, for ranks that do not write and trainings without a folder."""

    def write(self, row: Row) -> None:
        """Discard the row."""

    def close(self) -> None:
        """Do nothing."""


class MetricLog:
    """Appends rows to metrics.jsonl and passes them to the configured loggers."""

    def __init__(self, run: RunFolder, config: Settings, *, from_step: int, loggers: Sequence[str] = ()) -> None:
        """Drop rows after `from_step`, left by a run that was killed after its last checkpoint; with 0, all rows."""
        kept = [row for row in run.metrics() if row["step"] <= from_step] if from_step else []
        atomic_write(run.metrics_file, "".join(f"{json.dumps(row)}\n" for row in kept))
        self._sinks: list[Sink] = [SINKS[name](run, config) for name in loggers]
        self._file = run.metrics_file.open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        """Append one row, and flush."""
        self._file.write(f"{json.dumps(row)}\n")
        self._file.flush()
        for sink in self._sinks:
            sink.write(row)

    def close(self) -> None:
        """Close the file and every logger."""
        self._file.close()
        for sink in self._sinks:
            sink.close()


class TensorBoardSink:
    """Scalars under RUN/tensorboard."""

    def __init__(self, run: RunFolder, config: Settings) -> None:
        tensorboard = require_extra("tensorboard", "torch.utils.tensorboard", needed_by="run.loggers")
        self._writer = tensorboard.SummaryWriter(str(run.root / "tensorboard"))

    def write(self, row: Row) -> None:
        """Write one scalar per value."""
        for name, value in row.items():
            if name not in ("step", "epoch"):
                self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Flush to disk."""
        self._writer.close()


class WandbSink:
    """A Weights & Biases run under RUN/wandb; offline unless an API key or WANDB_MODE is set."""

    def __init__(self, run: RunFolder, config: Settings) -> None:
        wandb = require_extra("wandb", "wandb", needed_by="run.loggers")
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        self._run = wandb.init(
            project="coarsecon", name=run.root.name, dir=str(run.root), mode=mode, config=config.model_dump(mode="json")
        )

    def write(self, row: Row) -> None:
        """Write one history row."""
        self._run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


SINKS: dict[str, Any] = {"tensorboard": TensorBoardSink, "wandb": WandbSink}


def start_log(
    run: RunFolder,
    config: Any,
    device: torch.device,
    from_step: int,
    config_file: Path,
    *,
    ranks: int = 1,
    **facts: Any,
) -> MetricLog:
    """Write the settings and environment.json, with further `facts`, and open the log of a training.

    Args:
        config: Settings whose section `run` holds `precision` and `loggers`.
        from_step: Last finished step; rows after it are dropped.
    """
    atomic_write(config_file, to_yaml(config))
    environment = describe_environment(device, config.run.precision, ranks=ranks) | facts
    atomic_write(run.environment_file, json.dumps(environment, indent=2))
    return MetricLog(run, config, from_step=from_step, loggers=config.run.loggers)
