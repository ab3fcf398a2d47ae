"""A checkpoint becomes a run folder: written whole or not at all, with a record of what was taken and what was not."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coarsecon import registry
from coarsecon.config import DataSettings, RunConfig, to_yaml, validate
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.errors import InputError
from coarsecon.importers.forms import FORMS, Form, Heads
from coarsecon.importers.recipe import Wishes, card_beside, find_backbone, find_recipe
from coarsecon.nn.backbone import check_image_size, create_backbone
from coarsecon.nn.checkpoint import ForeignCheckpoint, read_checkpoint
from coarsecon.nn.encoder import EncoderCard, save_encoder
from coarsecon.nn.places import summarize
from coarsecon.nn.weights import FoundWeights, check_finite, find_weights
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import heads_file, load_method
from coarsecon.runtime.files import atomic_folder
from coarsecon.train.environment import describe_environment


@dataclass(frozen=True)
class Account:
    """What became of a checkpoint: what was taken, what was assumed, which weights and which other things were not."""

    loaded: list[str]
    assumed: list[str]
    not_loaded: list[str]
    not_weights: list[str]


def import_checkpoint(
    file: Path, form: str, out: Path, *, data: Path | None = None, wishes: Wishes | None = None
) -> Account:
    """Make the run folder `out` of a checkpoint. Every evaluation takes it as it takes its own.

    `environment.json` of the run holds the account, and the file's SHA-256.

    Raises:
        InputError: the file is not safe or not of this form, its network is not known, or something that only the
            user can say is not said.
    """
    if form not in FORMS:
        raise InputError(f"--from {form}: known are {', '.join(FORMS)}")
    if out.exists():
        raise InputError(f"{out} exists already; choose another --out")
    known, wishes = FORMS[form], wishes or Wishes()
    if known.needs_filter and wishes.filter is None:
        raise InputError(f"--from {form}: pass --filter high-pass if it was trained on filtered images, else none")
    dataset = None if data is None else open_dataset(data)
    checkpoint = read_checkpoint(file)
    card = card_beside(file) if form == "timm" else None
    backbone = find_backbone(checkpoint, known.prefixes, wishes, card, file)
    recipe, assumed = find_recipe(backbone, wishes, card, dataset)
    network = create_backbone(backbone, recipe.size)
    check_image_size(network, recipe.size)
    found = find_weights(checkpoint, network, file, key=wishes.key, usual=known.prefixes)
    _check_form(checkpoint, found, known, file)
    _fill(network, found, file)
    state = checkpoint.sets[found.place.key]
    heads = known.heads(state)
    not_loaded = _not_loaded(checkpoint, found, set(heads.names.values() if heads else ()))

    where = f", found below {found.place}" if str(found.place) else ""
    loaded = [f"{len(found.fit.taken)} entries of {backbone.name} with {backbone.stem} stem, by {known.about}{where}"]
    assumed += found.fit.adapted
    if found.others:
        assumed.append(f"these weights and not those of {', '.join(map(str, found.others))} (--weights-key)")
    method: dict[str, Any] = {"name": form}
    classes: list[str] = []
    if heads is not None:
        loaded.append(f"heads: {', '.join(sorted({name.partition('.')[0] for name in heads.names}))}")
        classes, doubts = _classes(heads, dataset)
        assumed += doubts
        method = _method(form, heads, recipe.size, len(classes), recipe.filter)
    account = Account(loaded, assumed, not_loaded, checkpoint.others)
    config = RunConfig(
        data=DataSettings(path=None if data is None else data.resolve(), size=recipe.size),
        backbone=backbone, method=method,
    )  # fmt: skip
    with atomic_folder(out) as folder:
        run = RunFolder(folder)
        run.config_file.write_text(to_yaml(config), encoding="utf-8")
        save_encoder(network, EncoderCard(backbone=backbone, input=recipe), run.encoder())
        if heads is not None:
            weights = {ours: state[name].float().contiguous() for ours, name in heads.names.items()}
            run.heads().write_bytes(heads_file(weights, classes, run.encoder()))
            load_method(run)  # proves that they fit
        run.environment_file.write_text(json.dumps(_environment(file, form, account), indent=2), encoding="utf-8")
    return account


def _check_form(checkpoint: ForeignCheckpoint, found: FoundWeights, form: Form, file: Path) -> None:
    """Refuse a file of another form: whose network has no prefix, where this form has one."""
    if found.place.prefix or "" in form.prefixes:
        return
    begins = sorted({name.partition(".")[0] for name in checkpoint.sets[found.place.key]})[:6]
    raise InputError(
        f"{file}: not a checkpoint of {form.about}: nothing in it begins with {' or '.join(form.prefixes)}, "
        f"but with {', '.join(begins)}; another --from?"
    )


def _fill(network: nn.Module, found: FoundWeights, file: Path) -> None:
    """Load the network. Raises InputError where an entry is missing, misfits or is no number."""
    check_finite(found.fit.taken, file)
    misfits = found.fit.misfits
    if misfits:
        name, reason = next(iter(misfits.items()))
        total = len(misfits) + len(found.fit.taken)
        raise InputError(
            f"{file}: does not fit: {len(misfits)} of {total} entries of the backbone are missing or of another "
            f"shape ({name} {reason}); is --backbone or --from another?"
        )
    network.load_state_dict(found.fit.taken, strict=False)


def _not_loaded(checkpoint: ForeignCheckpoint, found: FoundWeights, heads: set[str]) -> list[str]:
    """What of the file's weights was not loaded: of the same dictionary by module, of others by their keys."""
    prefix, state = found.place.prefix, checkpoint.sets[found.place.key]
    outside = {name for name in state if not name.startswith(prefix)}
    inside = {f"{prefix}{name}" for name in found.unused}
    unused = [f"{prefix}{module}" for module in summarize(name.removeprefix(prefix) for name in inside - heads)]
    others = [f"{key} ({len(other)})" for key, other in checkpoint.sets.items() if key != found.place.key]
    return sorted([*summarize(outside - heads), *unused, *others])


def _classes(heads: Heads, dataset: PreparedDataset | None) -> tuple[list[str], list[str]]:
    """Names for the classifier's rows, and what is doubtful about them."""
    if heads.classes is None:
        return [], []
    names = dataset.info.levels.get("coarse", []) if dataset else []
    if len(names) == heads.classes:
        return list(names), ["the classifier's classes in the order of the dataset's"]
    return [f"class {i}" for i in range(heads.classes)], []


def _method(name: str, heads: Heads, side: int, classes: int, input_filter: str) -> dict[str, Any]:
    """Our method of that name with settings that give these heads."""
    method = registry.load(registry.METHODS, name)
    settings = validate(method.Config, {**heads.settings, **heads.for_filter.get(input_filter, {})}, section="method")
    resolved = method.resolve(settings, image_size=side, images=max(classes, 1), classes=max(classes, 1))
    return {"name": name, **resolved.model_dump(mode="json")}


def _environment(file: Path, form: str, account: Account) -> dict[str, Any]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    origin = {"file": file.name, "sha256": digest, "from": form, **vars(account)}
    return {**describe_environment(torch.device("cpu"), "float32"), "imported": origin}
