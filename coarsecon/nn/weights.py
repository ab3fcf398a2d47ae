"""Weights to start a backbone from: loaded safely, adapted as timm adapts those it publishes, refused if any lacks."""

import math
import sys
from pathlib import Path

import torch.nn.functional as F
from timm.models import load_state_dict
from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.nn.small_stem import first_convolution


def load_weights(model: nn.Module, path: Path, *, fresh_stem: bool = True) -> None:
    """Load a file of weights; a classifier's weights are left out.

    Position embeddings are resized to the model's side. With `fresh_stem` a first convolution of another shape keeps
    the weights it was drawn with.

    Raises:
        InputError: the file is missing, is not a plain state dict, or leaves other layers without weights.
    """
    if not path.is_file():
        raise InputError(f"{path}: {_not_a_file(path)}")
    try:
        state: dict[str, Tensor] = _adapted(load_state_dict(str(path), use_ema=False, weights_only=True), model)
    except Exception as error:
        raise InputError(
            f"{path}: not a file of weights that can be loaded safely ({type(error).__name__}); name a .safetensors "
            "file, or weights alone as torch saves them"
        ) from None
    own = model.state_dict()
    stem = f"{first_convolution(model)}.weight"
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name not in fitting and not (fresh_stem and name == stem)]
    if missing:
        raise InputError(
            f"{path}: does not fit the backbone: {len(missing)} of {len(own)} entries are missing or of another shape "
            f"({', '.join(missing[:3])}, ...){_advice(model, missing, state)}"
        )
    model.load_state_dict(fitting, strict=False)


def _adapted(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """As timm adapts published weights: a transformer's position embeddings to another side, its authors' names."""
    adapt = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    state = adapt(state, model) if adapt else state
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


def _not_a_file(path: Path) -> str:
    """What to tell of a path to weights that names no file; of a run's folder, which file in it is meant."""
    if not path.is_dir():
        return "no such file of weights"
    inside = path / "encoder.safetensors"
    return f"is a folder; name the file of weights{f', {inside}' * inside.is_file()}"


def _advice(model: nn.Module, missing: list[str], state: dict[str, Tensor]) -> str:
    """What to do: where the file has every entry, and the network is of those that are built for one side, or not."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    if not cfg.get("fixed_input_size") or any(name not in state for name in missing):
        return "; are they of another network? Name it with --backbone"
    usual = f" (timm's own see {cfg['input_size'][-1]} px)" if cfg.get("input_size") else ""
    return f"; if it was saved for images of another side, set data.size to that one{usual}"
