"""The run folder, the unit users keep: where everything in it lies."""

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from coarsecon.errors import InputError

if TYPE_CHECKING:
    from coarsecon.config import RunConfig

FORMAT_VERSION = 1
"""What `pretrain` writes today. Runs without a number are of version 1; older versions stay readable."""

Which = Literal["last", "best"]
"""The encoder of the last epoch, or the one whose monitored recall was best."""

Layer = Literal["backbone", "projector"]
"""Where features are taken: the backbone's pooled output, or its projection."""


class Run:
    """A run folder: settings, log, training states, encoders, features, results and figures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / "config.yaml"
        self.environment_file = root / "environment.json"
        self.metrics_file = root / "metrics.jsonl"
        self.views_picture = root / "views.png"
        self.features = root / "features"
        self.results = root / "results"
        self.figures = root / "figures"
        self.index = root / "index"

    def checkpoint(self, which: Which) -> Path:
        """The training state."""
        return self.root / "checkpoints" / f"{which}.pt"

    def encoder(self, which: Which = "last") -> Path:
        """The encoder's weights; its card lies beside them."""
        return self.root / ("encoder.safetensors" if which == "last" else "encoder-best.safetensors")

    def heads(self, which: Which = "last") -> Path:
        """The weights of the method's heads, as they were with that encoder."""
        return self.root / ("heads.safetensors" if which == "last" else "heads-best.safetensors")

    def check_format(self) -> None:
        """Make sure that this version of the program understands the run.

        Raises:
            InputError: a newer one wrote it. What it wrote about itself and cannot be read tells of no newer one.
        """
        if not self.environment_file.exists():
            return
        try:
            environment = json.loads(self.environment_file.read_text(encoding="utf-8"))
            version = environment.get("format_version", 1)
            made_by = environment.get("packages", {}).get("coarsecon", "?")
        except (OSError, ValueError, AttributeError):
            return
        if not isinstance(version, int) or version < 1:
            raise InputError(f"{self.environment_file}: {version!r} is no format version")
        if version > FORMAT_VERSION:
            raise InputError(
                f"{self.root}: a run of format {version}, made by coarsecon {made_by}, but this coarsecon reads "
                f"formats up to {FORMAT_VERSION}; update it: pip install -U coarsecon"
            )

    def config(self) -> "RunConfig":
        """The settings this run was made with."""
        from coarsecon.config import RunConfig, read_config_file, validate  # every command passes here, few need it

        return validate(RunConfig, read_config_file(self.config_file))

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of the log; a last line that a crash cut short is left out."""
        if not self.metrics_file.exists():
            return []
        rows = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows


def last_epoch(log: Iterable[Mapping[str, Any]]) -> int:
    """The last epoch that the rows of a log tell of; 0 where none does."""
    told = (row.get("epoch") for row in log)
    return max((epoch for epoch in told if isinstance(epoch, int)), default=0)


def no_encoder(path: Path) -> InputError:
    """What to tell where `path`, a file of an encoder, is missing: a run that was stopped early can be resumed."""
    run = Run(path.parent)
    remedy = ""
    if run.config_file.is_file() and not run.encoder().exists():
        remedy = f" Resume it: {shlex.join(['coarsecon', 'pretrain', '--out', str(run.root), '--resume'])}"
    return InputError(f"{path}: no encoder here; has the run finished its first epoch?{remedy}")


def no_dataset(path: Path | str | None, run: Path) -> InputError:
    """What to tell where the dataset of a run is missing."""
    return InputError(f"{path}: the dataset of {run} is not there any more; pass --data DIR")


def open_run(path: Path) -> Run:
    """The run at `path`.

    Raises:
        InputError: there is no run, or one of a newer format.
    """
    run = Run(path)
    if not run.config_file.is_file():
        raise InputError(f"{path}: not a run folder (no config.yaml); `coarsecon pretrain --out {path}` makes one")
    run.check_format()
    return run
