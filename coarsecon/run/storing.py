"""Store the result of an evaluation in the run folder, with what it was computed from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.run.facade import Run
from coarsecon.run.results import COMPUTED_FROM, word
from coarsecon.runtime.files import atomic_write


def result_name(run: Run, name: str, split: str, *, default_split: str | None, options: Mapping[str, Any]) -> str:
    """Return the name of a result file: `name`, followed by everything that differs from the defaults.

    Results of different settings have different names, and those of the same settings have the same name in all runs.

    Args:
        run: The run that was evaluated.
        name: The name of the evaluation.
        split: The split that was evaluated.
        default_split: The split that needs no mention; by default that of `Run.default_split`.
        options: The settings of the evaluation that are not its defaults.
    """
    spec = run.spec
    parts: list[str] = [spec.checkpoint] * (spec.checkpoint != "last")
    parts += [spec.layer] * (spec.layer != "backbone")
    parts += ["flip"] * spec.flip + [split] * (split != (default_split or run.default_split()))
    if not run.uses_own_dataset:
        parts.append(word(f"data={run.dataset.root.resolve()}"))
    parts += [word(f"{option}={value}") for option, value in options.items()]
    return "-".join([name, *parts])


def store_result(
    run: Run,
    name: str,
    split: str,
    values: Mapping[str, Any],
    *,
    default_split: str | None = None,
    options: Mapping[str, Any] | None = None,
    others: tuple[Run, ...] = (),
) -> Path:
    """Write `values` as a result of the run, and return the file's path; see `result_name`.

    Stored with them are the features that were used, the fingerprints of the encoders and of the splits, and how many
    images of the split the run was trained on, which is also reported.
    """
    path = (
        run.folder.results / f"{result_name(run, name, split, default_split=default_split, options=options or {})}.json"
    )
    run.dataset.split(split)  # an unknown split is reported here
    run.use(SplitRef(run.dataset, split))
    overlap = run.training_images(split)
    record = {
        "split": split, "checkpoint": run.spec.checkpoint, "layer": run.spec.layer, "flip": run.spec.flip,
        "data": str(run.dataset.root), **({"training_images": overlap} if overlap else {}), **values,
        COMPUTED_FROM: run.origin(*others),
    }  # fmt: skip
    run.folder.store(path, lambda place: atomic_write(place, json.dumps(record, indent=2)), run.reporter)
    return path
