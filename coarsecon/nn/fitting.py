"""Comparison of weights with a network's entries, after adapting their names and shapes."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from coarsecon.nn.architecture import timm_names
from coarsecon.nn.places import NUM_BATCHES
from coarsecon.nn.small_stem import first_convolution


@dataclass(frozen=True)
class Fit:
    """Weights that fit a network's entries, entries that were adapted, and misfits with reasons."""

    taken: dict[str, Tensor]
    adapted: list[str]
    misfits: dict[str, str]


def namings(state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the weights with their names and, if those of a ResNet differ, with timm's names."""
    yield state
    names = timm_names(state)
    if any(theirs != ours for theirs, ours in names.items()):
        yield {names[name]: value for name, value in state.items()}


def fit_state(state: Mapping[str, Tensor], model: nn.Module) -> Fit:
    """Compare the weights with the entries of `model`, ignoring counters of batches."""
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
    """Return the name of the first weights, those of the stem or of the patch embedding."""
    return f"{first_convolution(model) or getattr(model, 'pretrained_cfg', {}).get('first_conv')}.weight"


def adapt_state(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Adapt the weights as timm does: names of the authors, position embeddings for another image size."""
    adapt: Callable[..., Any] | None = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if adapt:
        try:
            state = adapt(dict(state), model)
        except Exception:  # timm's filters expect weights of their network
            return state
    own = model.state_dict()
    return {  # timm cannot resize the embeddings of some transformers
        name: resize_grid(value, own[name].shape) if name in own and "pos_embed" in name.rpartition(".")[2] else value
        for name, value in state.items()
    }


def resize_grid(embeddings: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Resample position embeddings to `shape` by timm's bicubic filter.

    Their grid has two adjacent axes of four, or a single axis with the rows of a square; others are returned unchanged.
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
