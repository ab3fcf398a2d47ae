"""Initial weights of a backbone: found in a checkpoint, adapted as timm adapts its own, and reported."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.nn.architecture import timm_names
from coarsecon.nn.checkpoint import ForeignCheckpoint, read_checkpoint
from coarsecon.nn.places import NUM_BATCHES, Place, choose_place, places, summarize
from coarsecon.nn.small_stem import first_convolution

MAX_MISSING = 0.1
"""Maximum fraction of a backbone's parameters that a file may lack."""

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class LoadedWeights:
    """Which entries of a backbone were loaded, and which are initialized as without weights."""

    origin: str
    """The file, and where in it the weights are."""
    loaded: int
    total: int
    adapted: list[str]
    """Entries that were changed to fit, with what was done."""
    new: list[str]
    """Entries that are not in the file, or have another shape there, with the reason."""
    unused: list[str]
    """What else the weights were saved with, grouped, such as a classifier."""
    others: list[str]
    """Other weights of the same network in the file, such as an EMA."""

    def lines(self) -> Iterator[str]:
        """A line of what was loaded, and a warning where entries were not."""
        counts = f"{self.loaded} of {self.total} backbone entries from {self.origin}"
        extra = [*self.adapted, *([f"not used: {', '.join(self.unused)}"] if self.unused else [])]
        if self.others:
            extra.append(f"the file also holds {', '.join(self.others)} (backbone.weights_key)")
        yield "; ".join([f"initial weights: {counts}", *extra])
        if self.new:
            listed = ", ".join(self.new[:4]) + f", and {len(self.new) - 4} more" * (len(self.new) > 4)
            count = "1 backbone entry is" if len(self.new) == 1 else f"{len(self.new)} backbone entries are"
            yield f"warning: {count} initialized as without weights: {listed}"


@dataclass(frozen=True)
class Fit:
    """A network's entries that weights fit, those that were adapted, and those that they do not fit, with reasons."""

    taken: dict[str, Tensor]
    adapted: list[str]
    misfits: dict[str, str]


def load_weights(model: nn.Module, path: Path, *, key: str | None = None, fresh_stem: bool = True) -> LoadedWeights:
    """Load the weights in a file; those of a classifier are left out.

    The part of the file is taken that fits the model best, whatever its names begin with; `key` names another one.
    Position embeddings are resized, a first convolution of one channel is repeated for three.

    Args:
        model: The backbone, without a classifier.
        path: A .safetensors file, or one that torch saved.
        key: Key of the file's weights or a part of the beginning of their names, for a file with several.
        fresh_stem: Allow a first convolution of another shape, and a few missing entries, to keep random values.

    Raises:
        InputError: the file cannot be read safely, or its weights do not fit or are not finite.
    """
    checkpoint = read_checkpoint(path)
    found = find_weights(checkpoint, model, path, key=key)
    check_finite(found.fit.taken, path)
    _check_complete(model, found, path, fresh_stem=fresh_stem)
    model.load_state_dict(found.fit.taken, strict=False)
    others = [str(other) for other in found.others]
    return _report(found.fit, f"{path}{_at(found.place)}", summarize(found.unused), others)


def keep_weights(model: nn.Module, state: Mapping[str, Tensor], origin: str) -> LoadedWeights:
    """Load the weights that `model` had before its stem was replaced, as far as they fit the new one."""
    fit = fit_state(state, model)
    model.load_state_dict(fit.taken, strict=False)
    return _report(fit, origin)


def _report(fit: Fit, origin: str, unused: Sequence[str] = (), others: Sequence[str] = ()) -> LoadedWeights:
    return LoadedWeights(
        origin=origin,
        loaded=len(fit.taken),
        total=len(fit.taken) + len(fit.misfits),
        adapted=fit.adapted,
        new=[f"{name} {reason}" for name, reason in fit.misfits.items()],
        unused=list(unused),
        others=list(others),
    )


@dataclass(frozen=True)
class FoundWeights:
    """The part of a checkpoint that fits a network best, by the network's names, and others that fit as well."""

    place: Place
    state: dict[str, Tensor]
    fit: Fit
    others: list[Place]

    @cached_property
    def unused(self) -> list[str]:
        """Names below the place that the network does not have, such as those of a classifier."""
        return [name for name in self.state if name not in self.fit.taken and name not in self.fit.misfits
                and not name.endswith(NUM_BATCHES)]  # fmt: skip


def find_weights(
    checkpoint: ForeignCheckpoint,
    model: nn.Module,
    path: Path,
    *,
    key: str | None = None,
    usual: tuple[str, ...] = (),
) -> FoundWeights:
    """Find the part of a checkpoint with the largest number of entries of `model` by name and shape.

    Of parts that fit equally well those below a prefix of `usual` go first, then plain weights before averaged ones.

    Raises:
        InputError: `key` names no part of the file.
    """
    own = model.state_dict()
    candidates = places(checkpoint, min_entries=0.3 * len(own), key=key, path=path)
    found: dict[Place, tuple[dict[str, Tensor], Fit]] = {}
    for place in candidates:
        for state in _namings(place.state):
            adapted = _adapted(state, model)
            fit = fit_state(adapted, model)
            if place not in found or len(fit.taken) > len(found[place][1].taken):
                found[place] = adapted, fit
    best = max(len(fit.taken) for _, fit in found.values())
    equal = [place for place, (_, fit) in found.items() if len(fit.taken) == best]
    chosen = choose_place(equal, usual)
    others = [place for place in equal if place is not chosen] if best else []
    return FoundWeights(chosen, *found[chosen], others)


def _namings(state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The weights under their own names and, where a ResNet's differ, under timm's."""
    yield state
    names = timm_names(state)
    if any(theirs != ours for theirs, ours in names.items()):
        yield {names[name]: value for name, value in state.items()}


def fit_state(state: Mapping[str, Tensor], model: nn.Module) -> Fit:
    """Sort out which entries of `model` the weights fit; counters of batches do not matter."""
    first = _first_weight(model)
    taken, adapted, misfits = {}, [], {}
    for name, value in model.state_dict().items():
        given = state.get(name)
        if given is not None and given.shape == value.shape:
            taken[name] = given
        elif given is not None and name == first and _is_gray(given, value):
            taken[name] = given.float().expand(value.shape) / value.shape[1]
            adapted.append(f"{name} has one channel, which is repeated for {value.shape[1]}")
        elif not name.endswith(NUM_BATCHES):
            is_stem = name == first
            misfits[name] = "is missing in the file" if given is None else _other_shape(given, value, is_stem=is_stem)
    return Fit(taken, adapted, misfits)


def _other_shape(given: Tensor, value: Tensor, *, is_stem: bool) -> str:
    reason = f"is {list(given.shape)} instead of {list(value.shape)}"
    if is_stem and given.ndim == value.ndim == 4 and given.shape[-1] != value.shape[-1]:
        reason += f" (backbone.stem={'standard' if given.shape[-1] > value.shape[-1] else 'small'} keeps it)"
    return reason


def _is_gray(given: Tensor, value: Tensor) -> bool:
    return given.ndim == value.ndim == 4 and given.shape[1] == 1 and given.shape == value[:, :1].shape


def _first_weight(model: nn.Module) -> str:
    """The name of the weights that an image's channels meet first, a transformer's patches included."""
    return f"{first_convolution(model) or getattr(model, 'pretrained_cfg', {}).get('first_conv')}.weight"


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Make sure that weights are numbers.

    Raises:
        InputError: some are NaN or infinite.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            what = "NaN" if bool(value.isnan().any()) else "infinite values"
            bad = int((~value.isfinite()).sum())
            raise InputError(
                f"{path}: {name} contains {what} ({bad:,} of {value.numel():,} values); "
                "the training that wrote it diverged, use an earlier checkpoint"
            )


def _check_complete(model: nn.Module, found: FoundWeights, path: Path, *, fresh_stem: bool) -> None:
    misfits, state = found.fit.misfits, found.state
    parameters = dict(model.named_parameters())
    stem = f"{first_convolution(model)}.weight"
    reshaped = [name for name in misfits if name in state and not (fresh_stem and name == stem)]
    missing = [name for name in misfits if name not in state]
    allowed = MAX_MISSING * len(parameters) if fresh_stem else 0
    lost = [name for name in missing if name in parameters or not fresh_stem or not name.endswith(STATISTICS)]
    if not reshaped and len(lost) <= allowed:
        return
    names, total = list(misfits), len(misfits) + len(found.fit.taken)
    raise InputError(
        f"{path}: does not fit the backbone: {len(names)} of {total} entries are missing or of "
        f"another shape{_at(found.place)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)}){_advice(model, missing)}"
    )


def _at(place: Place) -> str:
    return f" ({place})" if str(place) else ""


def _advice(model: nn.Module, missing: list[str]) -> str:
    """What to do: where the file has every entry, and the network is of those that are built for one side, or not."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    if not cfg.get("fixed_input_size") or missing:
        return "; are they of another network? Name it with --backbone"
    usual = f" (timm's own see {cfg['input_size'][-1]} px)" if cfg.get("input_size") else ""
    return f"; if it was saved for images of another side, set data.size to that one{usual}"


def _adapted(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """As timm adapts published weights: a transformer's position embeddings to another side, its authors' names."""
    adapt: Callable[..., Any] | None = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if adapt:
        try:
            state = adapt(dict(state), model)
        except Exception:  # timm's filters trust that weights are of their network
            return state
    own = model.state_dict()
    return {  # for some transformers timm has no way to another side
        name: resize_grid(value, own[name].shape) if name in own and "pos_embed" in name.rpartition(".")[2] else value
        for name, value in state.items()
    }


def resize_grid(embeddings: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Position embeddings resampled to `shape`, by timm's bicubic filter, whichever axes their grid lies along.

    These are two adjacent axes of four, or one that holds the rows of a square; others are left as they are.
    """
    if embeddings.ndim != len(shape):
        return embeddings
    changed = [axis for axis, size in enumerate(shape) if embeddings.shape[axis] != size]
    if len(changed) == 1:
        (axis,) = changed
        old, new = math.isqrt(embeddings.shape[axis]), math.isqrt(shape[axis])
        if (old**2, new**2) != (embeddings.shape[axis], shape[axis]):
            return embeddings
        grid, size = embeddings.unflatten(axis, (old, old)), (new, new)
    elif embeddings.ndim == 4 and len(changed) == 2 and changed[1] == changed[0] + 1:
        axis = changed[0]
        grid, size = embeddings, (shape[axis], shape[axis + 1])
    else:
        return embeddings
    rows_last = grid.movedim((axis, axis + 1), (-2, -1))
    flat = rows_last.flatten(0, -3)[None].float()
    resized = F.interpolate(flat, size=size, mode="bicubic", antialias=True)[0].unflatten(0, rows_last.shape[:-2])
    return resized.movedim((-2, -1), (axis, axis + 1)).reshape(shape).to(embeddings.dtype)
