"""A checkpoint becomes a run folder: written whole or not at all, with a record of what was taken and what was not."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from coarsecon import registry
from coarsecon.config import DataSettings, RunConfig, to_yaml, validate
from coarsecon.data.store import PreparedDataset, open_dataset
from coarsecon.errors import InputError
from coarsecon.files import atomic_folder
from coarsecon.importing.checkpoint import read_checkpoint
from coarsecon.importing.forms import FORMS, Form, Heads
from coarsecon.importing.recipe import Wishes, card_beside, find_backbone, find_recipe
from coarsecon.methods.restore import load_method
from coarsecon.nn.backbone import check_side, create_backbone
from coarsecon.nn.encoder import EncoderCard, save_encoder
from coarsecon.runs import Run
from coarsecon.train.environment import describe_environment

COUNTERS = "num_batches_tracked"
"""Entries that old files lack, and that nothing after training looks at."""


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
    prefix, weights = _below_prefix(checkpoint.state, known, file)
    card = card_beside(file) if form == "timm" else None
    backbone, names = find_backbone(weights, wishes, card, file)
    recipe, assumed = find_recipe(backbone, wishes, card, dataset)
    network = create_backbone(backbone, recipe.size)
    check_side(network, recipe.size)
    taken = _fill(network, {names[name]: value for name, value in weights.items()}, file)
    heads = known.heads(checkpoint.state)
    used = {f"{prefix}{name}" for name in weights if names[name] in taken} | set(heads.names.values() if heads else ())

    loaded = [f"{len(taken)} entries of {backbone.name} with {backbone.stem} stem, by {known.about}"]
    method: dict[str, Any] = {"name": form}
    classes: list[str] = []
    if heads is not None:
        loaded.append(f"heads: {', '.join(sorted({name.partition('.')[0] for name in heads.names}))}")
        classes, doubts = _classes(heads, dataset)
        assumed += doubts
        method = _method(form, heads, recipe.size, len(classes), recipe.filter)
    account = Account(loaded, assumed, _grouped(set(checkpoint.state) - used), checkpoint.others)
    config = RunConfig(
        data=DataSettings(path=None if data is None else data.resolve(), size=recipe.size),
        backbone=backbone, method=method,
    )  # fmt: skip
    with atomic_folder(out) as folder:
        run = Run(folder)
        run.config_file.write_text(to_yaml(config), encoding="utf-8")
        save_encoder(network, EncoderCard(backbone=backbone, input=recipe), run.encoder())
        if heads is not None:
            state = {ours: checkpoint.state[name].float().contiguous() for ours, name in heads.names.items()}
            run.heads().write_bytes(save(state, metadata={"classes": json.dumps(classes)}))
            load_method(run)  # proves that they fit
        run.environment_file.write_text(json.dumps(_environment(file, form, account), indent=2), encoding="utf-8")
    return account


def _below_prefix(state: Mapping[str, Tensor], form: Form, file: Path) -> tuple[str, dict[str, Tensor]]:
    for prefix in form.prefixes:
        found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if found:
            return prefix, found
    begins = sorted({name.partition(".")[0] for name in state})[:6]
    raise InputError(
        f"{file}: not a checkpoint of {form.about}: nothing in it begins with {' or '.join(form.prefixes)}, "
        f"but with {', '.join(begins)}; another --from?"
    )


def _fill(network: nn.Module, weights: Mapping[str, Tensor], file: Path) -> set[str]:
    """Load the network; returns the entries that were used. Raises InputError where one is missing or misfits."""
    own = network.state_dict()
    fitting = {name: weights[name] for name in own if name in weights and weights[name].shape == own[name].shape}
    missing = [name for name in own if name not in fitting and not name.endswith(COUNTERS)]
    if missing:
        name = missing[0]
        has = f"is {list(weights[name].shape)} instead of {list(own[name].shape)}" if name in weights else "is missing"
        raise InputError(
            f"{file}: does not fit: {len(missing)} of {len(own)} entries of the backbone are missing or of another "
            f"shape ({name} {has}); is --backbone or --from another?"
        )
    network.load_state_dict(fitting, strict=False)
    return set(fitting)


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
    resolved = method.resolve(settings, side=side, images=max(classes, 1), classes=max(classes, 1))
    return {"name": name, **resolved.model_dump(mode="json")}


def _grouped(names: Iterable[str]) -> list[str]:
    """The names of weights by what they belong to, with their number where it is not one."""

    def owner(name: str) -> str:
        parts = name.split(".")
        deep = len(parts) > 2 and parts[0] in ("encoder_q", "encoder")
        return ".".join(parts[:2] if deep else parts[:1])

    counts = Counter(map(owner, names))
    return [f"{name} ({count})" if count > 1 else name for name, count in sorted(counts.items())]


def _environment(file: Path, form: str, account: Account) -> dict[str, Any]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    origin = {"file": file.name, "sha256": digest, "from": form, **vars(account)}
    return {**describe_environment(torch.device("cpu"), "float32"), "imported": origin}
