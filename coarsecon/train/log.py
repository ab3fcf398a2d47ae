"""The log of a run: metrics.jsonl always, TensorBoard and Weights & Biases when asked for."""

import json
import os
from collections.abc import Sequence
from typing import Any, Protocol

from coarsecon.config import Settings
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.extras import require_extra
from coarsecon.runtime.files import atomic_write

Row = dict[str, Any]


class Sink(Protocol):
    """Where rows go besides metrics.jsonl."""

    def write(self, row: Row) -> None:
        """Take one row; `step` and `epoch` are among its keys."""

    def close(self) -> None:
        """No more rows will come."""


class MetricLog:
    """Appends rows to metrics.jsonl and hands them to the further sinks."""

    def __init__(self, run: RunFolder, config: Settings, *, from_step: int, loggers: Sequence[str] = ()) -> None:
        """Rows after `from_step`, of a run that was cut off behind its last checkpoint, are dropped."""
        kept = [row for row in run.metrics() if row["step"] <= from_step]
        atomic_write(run.metrics_file, "".join(f"{json.dumps(row)}\n" for row in kept))
        self._sinks: list[Sink] = [SINKS[name](run, config) for name in loggers]
        self._file = run.metrics_file.open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        """Append one row, at once."""
        self._file.write(f"{json.dumps(row)}\n")
        self._file.flush()
        for sink in self._sinks:
            sink.write(row)

    def close(self) -> None:
        """Close every sink."""
        self._file.close()
        for sink in self._sinks:
            sink.close()


class NoLog:
    """What the ranks that do not write have in place of the log."""

    def write(self, row: Row) -> None:
        """Forget it."""

    def close(self) -> None:
        """Nothing is open."""


class TensorBoardSink:
    """Scalars under RUN/tensorboard."""

    def __init__(self, run: RunFolder, config: Settings) -> None:
        tensorboard = require_extra("tensorboard", "torch.utils.tensorboard", needed_by="run.loggers")
        self._writer = tensorboard.SummaryWriter(str(run.root / "tensorboard"))

    def write(self, row: Row) -> None:
        """One scalar per value."""
        for name, value in row.items():
            if name not in ("step", "epoch"):
                self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Flush to disk."""
        self._writer.close()


class WandbSink:
    """A Weights & Biases run under RUN/wandb; offline unless an API key or WANDB_MODE says otherwise."""

    def __init__(self, run: RunFolder, config: Settings) -> None:
        wandb = require_extra("wandb", "wandb", needed_by="run.loggers")
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        self._run = wandb.init(
            project="coarsecon", name=run.root.name, dir=str(run.root), mode=mode, config=config.model_dump(mode="json")
        )

    def write(self, row: Row) -> None:
        """One history row."""
        self._run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


SINKS: dict[str, Any] = {"tensorboard": TensorBoardSink, "wandb": WandbSink}
