"""Encoders for other tools: one exporter per format, found by name, compared with the run before it is kept."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coarsecon import registry
from coarsecon.errors import InputError
from coarsecon.exporters.base import Exporter, ExporterConfig
from coarsecon.exporters.manifest import RECORD, digests, other_files
from coarsecon.runtime.documents import read_json
from coarsecon.runtime.files import several
from coarsecon.runtime.folders import atomic_folder
from coarsecon.runtime.settings import validate

if TYPE_CHECKING:
    from coarsecon.run.facade import Run
    from coarsecon.run.folder import RunFolder

__all__ = ["Exporter", "ExporterConfig", "export", "read_export"]


def export(run: "Run | RunFolder | Path | str", name: str, out: Path | str, **settings: Any) -> list[str]:
    """Write the encoder of a run in a format to the folder `out`, completely or not at all.

    `encoder.json` in the folder describes the images that the weights expect. A folder of an earlier export is
    replaced, unless files in it were added or edited.

    Args:
        run: The run; `Run(folder, features=FeatureSpec("best"))` exports the best checkpoint.
        name: The exporter, for example "timm"; `coarsecon plugins` lists all.
        out: The folder to write.
        settings: The settings of the exporter.

    Returns:
        Notes on how to use what was written.

    Raises:
        InputError: There is no such exporter or encoder, `out` holds something else, a package is missing, or the
            format cannot express the encoder.
        CoarseconError: What was written computes other features.
    """
    from coarsecon.run.facade import Run
    from coarsecon.run.provenance import computed_from, encoder_entry
    from coarsecon.run.results import COMPUTED_FROM

    exporter, out = registry.load_class(registry.EXPORTERS, name, Exporter)(), Path(out)
    config = validate(exporter.Config, settings, section=name)
    run = run if isinstance(run, Run) else Run(run)
    check_output(out)
    with atomic_folder(out) as folder:
        notes = exporter.export(run, folder, config)
        entry = computed_from([encoder_entry(run.folder, run.spec.checkpoint)])
        record = {"format": name, COMPUTED_FROM: entry, "files": digests(folder)}
        (folder / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
        check_output(out)
    return [note.replace("FOLDER", str(out)) for note in [*notes, *exporter.publish(out, config)]]


def check_output(out: Path) -> None:
    """Raise InputError where an export would replace anything but an earlier export that nobody edited."""
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file", "name a new folder")
    if (out / "config.yaml").exists():
        raise InputError(out, "is a run", "name a new folder")
    if others := other_files(out):
        problem = f"holds files that no export wrote, or that were edited since ({several(others)})"
        raise InputError(out, problem, "name a new folder, or move them away")


def read_export(record: Path) -> Any:
    """Read from the file `RECORD` of an export what it was made from; None where that is not recorded."""
    from coarsecon.run.results import COMPUTED_FROM

    try:
        return read_json(record)[COMPUTED_FROM]
    except (OSError, InputError, KeyError, TypeError, IndexError):
        return None
