"""The tuned search settings that are stored with a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.provenance import Verifier, computed_from, encoder_entry
from coarsecon.run.results import COMPUTED_FROM
from coarsecon.run.tuning import TUNE, Read, TunedFeatures, TunedGallery, Tuning
from coarsecon.runtime.documents import read_json_object
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.settings import validate
from coarsecon.search.items import ItemTable
from coarsecon.search.space import TunedIndex

if TYPE_CHECKING:
    from coarsecon.run.facade import Run

FORMAT_VERSION = 1


def tuned_file(folder: RunFolder, checkpoint: str) -> Path:
    """Return the file of the settings that were tuned for a checkpoint."""
    return folder.root / ("tuned.json" if checkpoint == "last" else f"tuned-{checkpoint}.json")


def store_tuning(run: "Run", tuning: Tuning, parts: list[SplitRef], record: Mapping[str, Any]) -> Path:
    """Store tuned settings with the fingerprints of the encoders and splits, and a record of how they were chosen."""
    folder, checkpoint = run.folder, run.spec.checkpoint
    encoders = [encoder_entry(folder, checkpoint, heads="projector" in tuning.layers)]
    if tuning.weights is not None and not folder.is_combined:
        encoders.append(encoder_entry(folder, "initial"))
    content = {
        "format_version": FORMAT_VERSION, "tuning": tuning.model_dump(mode="json"), **record,
        COMPUTED_FROM: computed_from(encoders, parts),
    }  # fmt: skip
    path = tuned_file(folder, checkpoint)
    folder.store(path, lambda place: atomic_write(place, json.dumps(content, indent=2)), run.reporter)
    return path


def read_tuning(run: "Run") -> Tuning:
    """Read the tuned settings of a run.

    Raises:
        InputError: There are none, or they are damaged or stale.
    """
    path = tuned_file(run.folder, run.spec.checkpoint)
    if not path.is_file():
        raise InputError(path, "this run is not tuned", "evaluate `retrieve` with tune first")
    if not run.folder.owns(path):
        raise InputError(path, "a symbolic link that leads out of the run", TUNE)
    content = read_json_object(path, remedy=TUNE)
    if content.get("format_version") != FORMAT_VERSION:
        version = f"{content.get('format_version')!r:.40}"
        raise InputError(path, f"format {version} is not supported", "update coarsecon, or tune again")
    try:
        tuning = validate(Tuning, content.get("tuning"))
    except InputError as error:
        raise InputError(path, str(error), TUNE) from None
    freshness = Verifier(run.folder).check(content.get(COMPUTED_FROM), path, run.spec.checkpoint)
    if freshness.status != "current":
        raise InputError(path, str(freshness), TUNE)
    dataset = run.find_dataset()
    roots = {Path(split["data"]) for split in content[COMPUTED_FROM]["splits"]}
    if dataset is not None and dataset.root.resolve() not in roots:
        run.reporter.info(f"Warning: {path.name} was tuned on other images than those of {dataset.root}")
    return tuning


def tuned_gallery(run: "Run", read: Read) -> TunedGallery:
    """Return images as a gallery with the tuned settings of a run; `read` returns their features by one encoder.

    Raises:
        InputError: As `read_tuning`.
    """
    features = TunedFeatures(run.store, read_tuning(run))
    return TunedGallery(features, features.sets(read))


def tuned_index(run: "Run", split: str, items: ItemTable) -> tuple[TunedGallery, TunedIndex]:
    """Return a split as a gallery with the tuned settings of a run, and the index of its images, which are `items`.

    Raises:
        InputError: As `read_tuning`; or there is no such split.
    """
    gallery = tuned_gallery(run, lambda store: store.split(run.dataset, split))
    run.use(SplitRef(run.dataset, split))
    return gallery, gallery.index(items)
