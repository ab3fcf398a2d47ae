"""The run folder of each backbone: written once, and used again by later commands."""

from pathlib import Path
from typing import Any, Literal

from coarsecon.backbones.candidates import Candidate, Variant
from coarsecon.backbones.hub import cached_weights_only_if_unreachable
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.importers.convert import file_digest, import_checkpoint
from coarsecon.importers.pretrained import origin_of, write_timm_run
from coarsecon.run.folder import RunFolder, open_run
from coarsecon.runtime.documents import read_json_object


def open_backbone(variant: Variant, out: Path, dataset: PreparedDataset) -> RunFolder:
    """Open the run folder of a backbone in the folder `out`, and write it if it is not there.

    Raises:
        InputError: The folder holds other weights, or the weights, the image size, or the pooling cannot be used.
        CoarseconError: Weights cannot be downloaded.
    """
    candidate = variant.candidate
    if candidate.kind == "run":
        assert candidate.file is not None
        return open_run(candidate.file)
    folder = out / variant.folder
    if not folder.exists():
        _write(variant, folder, dataset)
    run = open_run(folder)
    if not _is_from(run, _origin(candidate)):
        raise InputError(folder, f"is not a run of {candidate.text}", "move it away, or choose another folder")
    return run


def _write(variant: Variant, folder: Path, dataset: PreparedDataset) -> None:
    candidate = variant.candidate
    if candidate.kind == "file":
        assert candidate.file is not None
        import_checkpoint(
            candidate.file, "timm", folder, data=dataset.root, frozen=True,
            backbone=candidate.name, size=variant.size, pooling=variant.pooling,
        )  # fmt: skip
        return
    with cached_weights_only_if_unreachable():
        write_timm_run(
            candidate.name, folder, dataset,
            weights=_weights(candidate), size=variant.size, pooling=variant.pooling,
        )  # fmt: skip


def _origin(candidate: Candidate) -> dict[str, Any]:
    """Return the record of its origin that the run of a candidate has."""
    if candidate.file is not None:
        return {"sha256": file_digest(candidate.file)}
    return origin_of(candidate.name, _weights(candidate))


def _weights(candidate: Candidate) -> Literal["published", "random"]:
    return "random" if candidate.kind == "random" else "published"


def _is_from(run: RunFolder, origin: dict[str, Any]) -> bool:
    try:
        recorded = read_json_object(run.environment_file).get("imported")
    except (OSError, InputError):
        return False
    return isinstance(recorded, dict) and origin.items() <= recorded.items()
