"""Fingerprints of what results, figures and exports were computed from, to recognize stale ones."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from coarsecon.config import Checkpoint
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder
from coarsecon.run.marks import encoder_files, encoder_mark, heads_files, heads_mark
from coarsecon.run.results import COMPUTED_FROM, Freshness, StoredResult, read_results

OWN = "."
"""Name of the run itself in `computed_from`, so that the run can be moved."""

NO_RECORD = Freshness(
    "unverified", "it does not say which checkpoint and dataset it was computed from (an earlier version wrote it)"
)


def computed_from(
    encoders: Sequence[dict[str, str]], parts: Iterable[SplitRef] = (), columns: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the fingerprints of encoders, each an `encoder_entry`, of splits and of their label columns, for JSON.

    Splits are in the order of their names, whatever order they were used in.
    """
    splits = {(str(part.dataset.root.resolve()), part.split): part for part in parts}
    return {
        "encoders": list(encoders),
        "splits": [
            {"data": data, "split": split, "fingerprint": split_mark(part)}
            | ({"labels": marks} if (marks := _column_marks(part, columns)) else {})
            for (data, split), part in sorted(splits.items(), key=lambda item: item[0])
        ],
    }


def encoder_entry(
    run: RunFolder, which: Checkpoint, *, mark: str | None = None, heads: bool = False, place: str = OWN
) -> dict[str, str]:
    """Return the fingerprint of an encoder (`mark` if it is known) and of its `heads` if they were used.

    `place` is the path of the run relative to the file that contains the entry.
    """
    entry = {"run": place, "checkpoint": which, "fingerprint": mark or encoder_mark(run, which)}
    return entry | ({"heads": heads_mark(run, which)} if heads else {})


def store_entry(store: FeatureStore, *, place: str = OWN) -> dict[str, str]:
    """Return the `encoder_entry` of the encoder of a store."""
    return encoder_entry(
        store.folder, store.spec.checkpoint, mark=store.encoder_mark, heads=store.uses_heads, place=place
    )


def split_mark(part: SplitRef) -> str:
    """Return the fingerprint of the images, labels and class names of a split: its checksum covers no names."""
    levels = sorted(part.dataset.own_info.levels.items())
    return sha256(json.dumps([part.checksum, levels]).encode()).hexdigest()[:12]


def _column_marks(part: SplitRef, columns: Iterable[str]) -> dict[str, str]:
    """Return the fingerprints of label columns of a split; "" where there is no such column."""
    known = part.dataset.columns
    return {name: known[name].fingerprint(part.split) for name in columns if name in known}


class Verifier:
    """Compare the fingerprints of results in a run with the current encoder and datasets."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._marks: dict[tuple[Path, str], tuple[Any, tuple[str, str]]] = {}
        self._datasets: dict[Path, PreparedDataset | None] = {}

    def results(self) -> list[StoredResult]:
        """Return the results of the run with their freshness."""
        return [self.verified(result) for result in read_results(self.run)]

    def verified(self, result: StoredResult) -> StoredResult:
        """Return a result with its freshness; an unreadable one stays unchanged."""
        if result.problem or result.path is None:
            return result
        which = result.record.get("checkpoint", "last")
        return replace(result, freshness=self.check(result.record.get(COMPUTED_FROM), result.path, which))

    def dataset_note(self) -> str:
        """Return a note if another dataset replaced the one that the run was trained on, else an empty text."""
        dataset, trained_on = self._own_data and self._dataset(self._own_data), self.run.trained_on()
        if not dataset or trained_on is None or dataset.info.splits["train"].checksum == trained_on:
            return ""
        return f"{dataset.root} holds another dataset than the one that this run was trained on"

    def check(self, source: Any, file: Path, which: Any = "last") -> Freshness:
        """Return the freshness of `file` with `computed_from` in `source`; by modification times if it is None."""
        try:
            if source is None:
                return self._by_time(file, which)
            encoders, splits = source["encoders"], source["splits"]
            found = [self._encoder(**entry) for entry in encoders] + [self._split(**entry) for entry in splits]
        except (TypeError, KeyError, AttributeError, ValueError):
            return NO_RECORD
        return max(found, key=_concern, default=NO_RECORD)

    def _encoder(self, run: str, checkpoint: str, fingerprint: str, heads: str | None = None) -> Freshness:
        other = self.run if run == OWN else RunFolder(Path(run))
        whose = "" if run == OWN else f" of {run}"
        if checkpoint not in get_args(Checkpoint):
            raise ValueError(checkpoint)
        try:
            encoder, present_heads = self._encoder_marks(other, checkpoint)  # type: ignore[arg-type]
        except (CoarseconError, OSError):
            return Freshness("unverified", f"the {checkpoint} encoder{whose} it was computed from is not there")
        if encoder != fingerprint or (heads is not None and heads != present_heads):
            return Freshness("stale", f"computed from an earlier checkpoint{whose}", is_usable=False)
        return Freshness()

    def _encoder_marks(self, run: RunFolder, which: Checkpoint) -> tuple[str, str]:
        """Return the fingerprints of an encoder and its heads, recomputed if a file has changed."""
        files = [file for file in (*encoder_files(run, which), *heads_files(run, which)) if file.exists()]
        state = [(file.stat().st_mtime_ns, file.stat().st_size, file.stat().st_ino) for file in files]
        kept = self._marks.get((run.root, which))
        if kept is None or kept[0] != state:
            kept = self._marks[run.root, which] = state, (encoder_mark(run, which), heads_mark(run, which))
        return kept[1]

    def _split(self, data: str, split: str, fingerprint: str, labels: dict[str, str] | None = None) -> Freshness:
        present = [dataset for place in self._places(data) if (dataset := self._dataset(place)) is not None]
        marks = [split_mark(SplitRef(dataset, split)) if split in dataset.splits else "" for dataset in present]
        if fingerprint in marks:
            part = SplitRef(present[marks.index(fingerprint)], split)
            if labels and _column_marks(part, labels) != labels:
                return Freshness(
                    "stale", f"computed from an earlier version of {' and '.join(labels)}", is_usable=False
                )
            return Freshness()
        if marks:
            return Freshness(
                "stale", f"computed from another dataset than the one now at {present[0].root}", is_usable=False
            )
        return Freshness(note=f"its dataset {data} is not there to compare with")

    def _places(self, data: str) -> list[Path]:
        """Return the places a dataset may be at: its recorded path, and the run's dataset, which may have moved."""
        return list(dict.fromkeys([Path(data), *([self._own_data] if self._own_data else [])]))

    @cached_property
    def _own_data(self) -> Path | None:
        try:
            return self.run.config().data.path
        except CoarseconError:
            return None

    def _dataset(self, place: Path) -> PreparedDataset | None:
        if place not in self._datasets:
            try:
                self._datasets[place] = open_dataset(place)
            except (InputError, OSError):
                self._datasets[place] = None
        return self._datasets[place]

    def _by_time(self, file: Path, which: Any) -> Freshness:
        """Return the freshness of a file without fingerprints: it is suspect if its encoder or dataset is newer."""
        weights = self.run.encoder(which if which in get_args(Checkpoint) else "last")
        data = [] if self._own_data is None else [self._own_data / "dataset.json"]
        older = [
            what for what, place in [("encoder", weights), *(("dataset", place) for place in data)]
            if place.is_file() and place.stat().st_mtime > file.stat().st_mtime
        ]  # fmt: skip
        if not older:
            return NO_RECORD
        return replace(
            NO_RECORD, note=f"{NO_RECORD.note}, and is older than the {' and the '.join(older)}", is_usable=False
        )


def _concern(found: Freshness) -> tuple[bool, bool, bool]:
    return not found.is_usable, found.status == "unverified", bool(found.note)
