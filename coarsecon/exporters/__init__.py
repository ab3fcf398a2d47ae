"""A run's encoder for other tools: one file per format, each compared with the run before it is put in place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coarsecon.config import Checkpoint
from coarsecon.errors import InputError
from coarsecon.exporters import detectron2, hub, onnx, timm, torch_export, torchvision
from coarsecon.exporters.manifest import RECORD, digests, other_files
from coarsecon.exporters.subject import Subject
from coarsecon.run.folder import RunFolder
from coarsecon.run.provenance import computed_from, encoder_entry
from coarsecon.run.results import COMPUTED_FROM
from coarsecon.runtime.documents import read_json
from coarsecon.runtime.files import atomic_folder, several

FORMATS: dict[str, Callable[[Subject, Path], list[str]]] = {
    "timm": timm.write,
    "onnx": onnx.write,
    "torch-export": torch_export.write,
    "hub": hub.write,
    "torchvision": torchvision.write,
    "detectron2": detectron2.write,
}


def export(run: RunFolder, format: str, out: Path, *, which: Checkpoint = "last") -> list[str]:
    """Write the run's encoder in a format to the folder `out`, whole or not at all; returns what to know of it.

    `encoder.json` beside the weights says what images they expect. A folder of an earlier export is replaced,
    unless files in it were added or edited.

    Raises:
        InputError: no such format or encoder; `out` holds something else; a package is missing, or the format
            cannot express the encoder.
        CoarseconError: what was written would give other features.
    """
    if format not in FORMATS:
        raise InputError(f"--format {format}: known are {', '.join(FORMATS)}")
    check_output(out)
    subject = Subject(run, which)
    with atomic_folder(out) as folder:
        notes = FORMATS[format](subject, folder)
        record = {
            "format": format, COMPUTED_FROM: computed_from([encoder_entry(run, which)]), "files": digests(folder),
        }  # fmt: skip
        (folder / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
        check_output(out)
        return notes


def check_output(out: Path) -> None:
    """Raise InputError where an export would replace anything but an earlier export that nobody edited."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a new folder")
    if (out / "config.yaml").exists():
        raise InputError(f"{out}: is a run; name a new folder")
    others = other_files(out)
    if others:
        raise InputError(
            f"{out}: holds files that are not as an export wrote them ({several(others)}); name a new folder, or move "
            "them away"
        )


def read_export(record: Path) -> Any:
    """What an export was made from, by the file `RECORD` in its folder; None where that does not tell."""
    try:
        return read_json(record)[COMPUTED_FROM]
    except (OSError, InputError, KeyError, TypeError, IndexError):
        return None
