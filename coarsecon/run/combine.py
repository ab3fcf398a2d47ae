"""Combine the encoders of several runs into a new run."""

import json
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from coarsecon.config import Checkpoint, RunConfig, to_yaml
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.run.folder import FORMAT_VERSION, RunFolder, open_run
from coarsecon.run.marks import encoder_files, encoder_mark
from coarsecon.run.missing import no_encoder
from coarsecon.run.parts import MAX_PARTS, MAX_WEIGHT, Combination, Part, part_path
from coarsecon.run.restore import open_encoder
from coarsecon.runtime.folders import atomic_folder

Source = tuple[RunFolder, Checkpoint]
"""A run, and the checkpoint of it to combine."""


def combine_runs(
    runs: Sequence[Path | str], out: Path | str, *, weights: Sequence[float] = (), data: Path | str | None = None
) -> RunFolder:
    """Write a run whose features are the weighted concatenation of those of other runs.

    The new run is self-contained: it has copies of the encoders, each with its own input transform and image size, of
    their heads, and of the features that are cached. `concatenate` in `coarsecon.search.fusion` defines the features.

    Args:
        runs: Run folders, two or more. `FOLDER@best` takes another checkpoint than the last.
        out: The run folder to write.
        weights: One weight per run, above 0; by default all are 1.
        data: The prepared dataset to evaluate on; by default that of the first run that names one.

    Raises:
        InputError: A run, checkpoint, weight, or the dataset cannot be used, or `out` exists.
    """
    out = Path(out)
    if out.exists():
        raise InputError(out, "exists already", "choose another folder")
    sources = [find_source(run) for run in runs]
    if len(weights) not in (0, len(sources)):
        raise InputError("weights", f"there are {len(weights)} for {len(sources)} runs", "give one per run")
    combination = _combination(sources, list(weights) or [1.0] * len(sources))
    for run, checkpoint in sources:
        open_encoder(run, checkpoint)  # a mistake is reported before anything is written
    config = _config(sources, combination, None if data is None else open_dataset(Path(data)).root)
    with atomic_folder(out) as folder:
        new = RunFolder(folder)
        for number, (run, checkpoint) in enumerate(sources, 1):
            _copy(run, checkpoint, RunFolder(part_path(new, number)))
        new.combined_file.write_text(combination.model_dump_json(indent=2), encoding="utf-8")
        new.config_file.write_text(to_yaml(config), encoding="utf-8")
        environment = {
            "format_version": FORMAT_VERSION, "command": sys.argv, "packages": {"coarsecon": version("coarsecon")},
        }  # fmt: skip
        new.environment_file.write_text(json.dumps(environment, indent=2), encoding="utf-8")
    return RunFolder(out)


def find_source(text: Path | str) -> Source:
    """Open the run at a path, or the run and checkpoint of `PATH@CHECKPOINT`.

    Raises:
        InputError: There is no such run, or it is combined.
    """
    path, known = Path(text), get_args(Checkpoint)
    before, _, checkpoint = str(text).rpartition("@")
    if before and checkpoint in known and not path.exists():
        path = Path(before)
    else:
        checkpoint = "last"
    if "@" in path.name and not path.exists():
        raise InputError(path, "does not exist", f"checkpoints are named {', '.join(f'@{name}' for name in known)}")
    run = open_run(path)
    if run.is_combined:
        raise InputError(run.root, "is a combined run", "name the runs it was made of")
    return run, checkpoint  # type: ignore[return-value]


def _combination(sources: Sequence[Source], weights: Sequence[float]) -> Combination:
    if not 2 <= len(sources) <= MAX_PARTS:
        raise InputError("runs", f"there are {len(sources)}", f"name 2 to {MAX_PARTS}")
    if not all(0 < weight <= MAX_WEIGHT for weight in weights):
        raise InputError("weights", f"must be above 0 and at most {MAX_WEIGHT:g}", "leave a run out to ignore it")
    return Combination(
        parts=[
            Part(run=run.root.resolve().name, checkpoint=checkpoint, weight=float(weight))
            for (run, checkpoint), weight in zip(sources, weights, strict=True)
        ]
    )


def _config(sources: Sequence[Source], combination: Combination, data: Path | None) -> RunConfig:
    """Return the settings of the combined run: those of the first run as far as they apply to it."""
    configs = [run.config() for run, _ in sources]
    paths = [config.data.path for config in configs if config.data.path is not None]
    path = data.resolve() if data is not None else next((path.resolve() for path in paths), None)
    parts = [part.model_dump(mode="json") for part in combination.parts]
    first = configs[0]
    return RunConfig(
        data=first.data.model_copy(update={"path": path}), backbone=first.backbone,
        method={"name": "combined", "parts": parts},
    )  # fmt: skip


def _copy(run: RunFolder, checkpoint: Checkpoint, new: RunFolder) -> None:
    """Copy what a part needs: settings, environment, encoder, heads, and cached features."""
    new.features.mkdir(parents=True)
    weights, card = encoder_files(run, checkpoint)
    files = [
        (run.config_file, new.config_file), (run.environment_file, new.environment_file),
        (weights, new.encoder()), (card, new.encoder().with_suffix(".json")), (run.heads(checkpoint), new.heads()),
    ]  # fmt: skip
    for source, target in files:
        if source.is_file():
            shutil.copyfile(source, target)
    if not new.encoder().is_file():
        raise no_encoder(weights)
    for file in run.files(run.features, f"*-{encoder_mark(new, 'last')}.npy"):
        _link_or_copy(file, new.features / file.name)


def _link_or_copy(file: Path, target: Path) -> None:
    """Make a hard link to a file that never changes, or a copy where that is not possible."""
    try:
        target.hardlink_to(file.resolve())
    except OSError:
        shutil.copyfile(file, target)
