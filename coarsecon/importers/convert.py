"""Write a checkpoint as a run folder, completely or not at all, with a record of what was loaded and what was not."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from coarsecon import registry
from coarsecon.config import DataSettings, RunConfig, validate
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.errors import InputError
from coarsecon.importers.base import Heads, Importer
from coarsecon.importers.input_transform import find_backbone, find_input_transform
from coarsecon.importers.writing import write_run
from coarsecon.nn.backbone import check_image_size, create_backbone
from coarsecon.nn.checkpoint import ForeignCheckpoint, read_checkpoint
from coarsecon.nn.places import summarize
from coarsecon.nn.published import find_card
from coarsecon.nn.weights import FoundWeights, check_finite, find_weights
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import heads_file, load_method


@dataclass(frozen=True)
class ImportReport:
    """Contents of a checkpoint that were loaded, assumed, or not loaded, and its other contents."""

    loaded: list[str]
    assumed: list[str]
    not_loaded: list[str]
    not_weights: list[str]


def import_checkpoint(
    file: Path, name: str, out: Path, *, data: Path | None = None, frozen: bool = False, **settings: Any
) -> ImportReport:
    """Write a checkpoint as the run folder `out`, which every evaluation accepts.

    `environment.json` of the run holds the report, and the file's SHA-256.

    Args:
        file: The checkpoint. Nothing in it is executed.
        name: The importer, for example "moco"; `coarsecon plugins` lists all.
        out: The run folder to write.
        data: A prepared dataset, for its image size, statistics and classes.
        frozen: The weights were not trained on that dataset.
        settings: What else is known: see `ImporterConfig`.

    Raises:
        InputError: The file is not safe or not of this form, its network is not known, or a setting is needed.
    """
    importer = registry.load_class(registry.IMPORTERS, name, Importer)()
    config = validate(importer.Config, settings)
    if out.exists():
        raise InputError(out, "exists already", "choose another folder")
    if importer.needs_filter and config.filter is None:
        raise InputError("filter", f"checkpoints of {name} do not record it", "choose high-pass or none")
    dataset = None if data is None else open_dataset(data)
    checkpoint = read_checkpoint(file)
    found_card = find_card(file) if importer.is_published else None
    card = found_card and found_card[0]
    backbone = find_backbone(checkpoint, importer.prefixes, config, card, file)
    recipe, assumed = find_input_transform(
        backbone, config, card, dataset, file=file, is_published=importer.is_published
    )
    network = create_backbone(backbone, recipe.size)
    _check_size(network, recipe.size)
    found = find_weights(checkpoint, network, file, key=config.weights_key, usual=tuple(importer.prefixes))
    _check_form(checkpoint, found, importer, file)
    _fill(network, found, file)
    state = checkpoint.sets[found.place.key]
    heads = importer.heads(state)
    not_loaded = _not_loaded(checkpoint, found, set(heads.names.values() if heads else ()))

    where = f", found below {found.place}" if str(found.place) else ""
    loaded = [
        f"{len(found.fit.taken)} entries of {backbone.name} with {backbone.stem} stem, by {importer.about}{where}"
    ]
    assumed += found.fit.adapted
    if found.others:
        assumed.append(f"weights_key: these weights, not those of {', '.join(map(str, found.others))}")
    method: dict[str, Any] = {"name": name}
    classes: list[str] = []
    if heads is not None:
        loaded.append(f"heads: {', '.join(sorted({name.partition('.')[0] for name in heads.names}))}")
        classes, doubts = _classes(heads, dataset)
        assumed += doubts
        method = _method(name, heads, recipe.size, len(classes), recipe.filter)
    report = ImportReport(loaded, assumed, not_loaded, checkpoint.others)
    run_config = RunConfig(
        data=DataSettings(path=None if data is None else data.resolve(), size=recipe.size),
        backbone=backbone, method=method,
    )  # fmt: skip

    def add_heads(run: RunFolder) -> None:
        if heads is not None:
            weights = {ours: state[name].float().contiguous() for ours, name in heads.names.items()}
            run.heads().write_bytes(heads_file(weights, classes, run.encoder()))
            load_method(run)  # proves that they fit

    write_run(out, run_config, network, recipe, _origin(file, name, report), frozen=frozen, add=add_heads)
    return report


def _check_size(network: nn.Module, size: int) -> None:
    """Check the image size, which is a setting called `size` here."""
    try:
        check_image_size(network, size)
    except InputError as error:
        subject, hint = (text.replace("data.size", "size") for text in (error.subject, error.hint))
        raise InputError(subject, error.problem, hint) from error


def _check_form(checkpoint: ForeignCheckpoint, found: FoundWeights, importer: Importer, file: Path) -> None:
    """Raise InputError for a file of another form: its network has no prefix, and this form has one."""
    if found.place.prefix or "" in importer.prefixes:
        return
    begins = sorted({name.partition(".")[0] for name in checkpoint.sets[found.place.key]})[:6]
    problem = f"is no checkpoint of {importer.about}: no name in it begins with {' or '.join(importer.prefixes)}"
    raise InputError(file, problem, f"import it as another form; its names begin with {', '.join(begins)}")


def _fill(network: nn.Module, found: FoundWeights, file: Path) -> None:
    """Load the network; raises InputError if an entry is missing, does not fit or is not finite."""
    check_finite(found.fit.taken, file)
    misfits = found.fit.misfits
    if misfits:
        name, reason = next(iter(misfits.items()))
        total = len(misfits) + len(found.fit.taken)
        count = f"{len(misfits)} of {total} entries of the backbone"
        problem = f"does not fit: {count} are missing or have another shape ({name} {reason})"
        raise InputError(file, problem, "check backbone, and the form of the checkpoint")
    network.load_state_dict(found.fit.taken, strict=False)


def _not_loaded(checkpoint: ForeignCheckpoint, found: FoundWeights, heads: set[str]) -> list[str]:
    """Return the weights that were not loaded: those of the same dictionary by module, others by their keys."""
    prefix, state = found.place.prefix, checkpoint.sets[found.place.key]
    outside = {name for name in state if not name.startswith(prefix)}
    inside = {f"{prefix}{name}" for name in found.unused}
    unused = [f"{prefix}{module}" for module in summarize(name.removeprefix(prefix) for name in inside - heads)]
    others = [f"{key} ({len(other)})" for key, other in checkpoint.sets.items() if key != found.place.key]
    return sorted([*summarize(outside - heads), *unused, *others])


def _classes(heads: Heads, dataset: PreparedDataset | None) -> tuple[list[str], list[str]]:
    """Return names for the rows of the classifier, and which of them are assumptions."""
    if heads.classes is None:
        return [], []
    names = dataset.info.levels.get("coarse", []) if dataset else []
    if len(names) == heads.classes:
        return list(names), ["the classifier's classes in the order of the dataset's"]
    return [f"class {i}" for i in range(heads.classes)], []


def _method(name: str, heads: Heads, image_size: int, classes: int, input_filter: str) -> dict[str, Any]:
    """Return the settings of the method of that name that give these heads."""
    method = registry.load(registry.METHODS, name)
    settings = validate(method.Config, {**heads.settings, **heads.for_filter.get(input_filter, {})}, section="method")
    resolved = method.resolve(settings, image_size=image_size, images=max(classes, 1), classes=max(classes, 1))
    return {"name": name, **resolved.model_dump(mode="json")}


def _origin(file: Path, name: str, report: ImportReport) -> dict[str, Any]:
    return {"file": file.name, "sha256": file_digest(file), "from": name, **vars(report)}


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
