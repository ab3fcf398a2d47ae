"""Initial weights of a backbone: found in a checkpoint, adapted to the network, and reported."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.nn.checkpoint import ForeignCheckpoint, read_checkpoint
from coarsecon.nn.fitting import Fit, adapt_state, fit_state, namings
from coarsecon.nn.places import NUM_BATCHES, Place, choose_place, places, summarize
from coarsecon.nn.small_stem import first_convolution

MAX_MISSING = 0.1
"""Maximum fraction of a backbone's parameters that a file may lack."""

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class LoadedWeights:
    """Report of the entries of a backbone that were loaded, and of those with random values."""

    origin: str
    """The file, and the place of the weights in it."""
    loaded: int
    total: int
    adapted: list[str]
    """Entries that were adapted, with the change."""
    new: list[str]
    """Entries that are missing in the file or have another shape, with the reason."""
    unused: list[str]
    """Unused entries of the weights, by module, such as a classifier."""
    others: list[str]
    """Other weights of the network in the file, such as an EMA."""

    def lines(self) -> Iterator[str]:
        """Yield a line about the loaded weights, and a warning if entries are missing."""
        counts = f"{self.loaded} of {self.total} backbone entries from {self.origin}"
        extra = [*self.adapted, *([f"not used: {', '.join(self.unused)}"] if self.unused else [])]
        if self.others:
            extra.append(f"the file also has {', '.join(self.others)} (backbone.weights_key)")
        yield "; ".join([f"initial weights: {counts}", *extra])
        if self.new:
            listed = ", ".join(self.new[:4]) + f", and {len(self.new) - 4} more" * (len(self.new) > 4)
            count = "1 backbone entry is" if len(self.new) == 1 else f"{len(self.new)} backbone entries are"
            yield f"warning: {count} randomly initialized: {listed}"


def load_weights(model: nn.Module, path: Path, *, key: str | None = None, fresh_stem: bool = True) -> LoadedWeights:
    """Load the weights in a file, except those of a classifier.

    The part of the file that fits the model best is used, below any prefix of names; `key` selects another one.
    Position embeddings are resized, a first convolution of one channel is repeated for three.

    Args:
        model: The backbone, without a classifier.
        path: A .safetensors file, or one that torch saved.
        key: Key of the weights or a part of their prefix, for a file with several.
        fresh_stem: Allow a first convolution of another shape, and a few missing entries, to keep random values.

    Raises:
        InputError: The file cannot be read safely, or its weights do not fit or are not finite.
    """
    checkpoint = read_checkpoint(path)
    found = find_weights(checkpoint, model, path, key=key)
    check_finite(found.fit.taken, path)
    _check_complete(model, found, path, fresh_stem=fresh_stem)
    model.load_state_dict(found.fit.taken, strict=False)
    others = [str(other) for other in found.others]
    return _report(found.fit, f"{path}{_at(found.place)}", summarize(found.unused), others)


def keep_weights(model: nn.Module, state: Mapping[str, Tensor], origin: str) -> LoadedWeights:
    """Load the weights of `model` from before the replacement of its stem, as far as they fit."""
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
    """The part of a checkpoint that fits a network best, by the network's names, and others that fit equally well."""

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

    Of parts that fit equally well those below a prefix of `usual` come first, then plain weights before averaged ones.

    Raises:
        InputError: `key` names no part of the file.
    """
    own = model.state_dict()
    candidates = places(checkpoint, min_entries=0.3 * len(own), key=key, path=path)
    found: dict[Place, tuple[dict[str, Tensor], Fit]] = {}
    for place in candidates:
        for state in namings(place.state):
            adapted = adapt_state(state, model)
            fit = fit_state(adapted, model)
            if place not in found or len(fit.taken) > len(found[place][1].taken):
                found[place] = adapted, fit
    best = max(len(fit.taken) for _, fit in found.values())
    equal = [place for place, (_, fit) in found.items() if len(fit.taken) == best]
    chosen = choose_place(equal, usual)
    others = [place for place in equal if place is not chosen] if best else []
    return FoundWeights(chosen, *found[chosen], others)


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Check that weights are finite.

    Raises:
        InputError: Some are NaN or infinite.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            what = "NaN" if bool(value.isnan().any()) else "infinite values"
            bad = int((~value.isfinite()).sum())
            raise InputError(
                path,
                f"{name} contains {what} ({bad:,} of {value.numel():,} values): the training that wrote it diverged",
                "use an earlier checkpoint",
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
        path,
        f"does not fit the backbone: {len(names)} of {total} entries are missing or have another shape"
        f"{_at(found.place)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})",
        _hint(model, missing),
    )


def _at(place: Place) -> str:
    return f" ({place})" if str(place) else ""


def _hint(model: nn.Module, missing: list[str]) -> str:
    """Suggest another network or, if the file has every entry of one with a fixed image size, another size."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    if not cfg.get("fixed_input_size") or missing:
        return "if the weights are of another network, set backbone.name to it"
    usual = f" (timm's weights are for {cfg['input_size'][-1]} px)" if cfg.get("input_size") else ""
    return f"if it was saved for another image size, set data.size to that size{usual}"
