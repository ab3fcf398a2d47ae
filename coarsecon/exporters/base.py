"""Base of exporters: one class with a pydantic `Config` and one verb, registered in `coarsecon.exporters`."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from coarsecon.run.facade import Run


class ExporterConfig(BaseModel):
    """Base of the settings of exporters. The `description` of a field is its help text on the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Exporter(ABC):
    """Base class of every exporter, built-in or third-party.

    The first line of the docstring describes it in lists. Compare what was written with the encoder of the run, for
    example by `coarsecon.exporters.comparison.compare`: nothing is put in place when `export` raises.
    """

    class Config(ExporterConfig):
        """Settings of the exporter: each field becomes an option of `coarsecon export`."""

    @abstractmethod
    def export(self, run: "Run", folder: Path, config: Any) -> list[str]:
        """Write the encoder of a run to an empty folder; returns notes on how to use it.

        `FOLDER` in a note is replaced by the folder's final path.

        Raises:
            InputError: The format cannot express the encoder, or an optional package is missing.
            CoarseconError: What was written computes other features.
        """

    def publish(self, folder: Path, config: Any) -> list[str]:
        """Send the exported folder somewhere, once it is in place; returns notes."""
        return []
