"""Check of backbone arguments: only those of the architecture, none that download or load anything."""

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from timm.models import model_entrypoint
from torch import nn

from coarsecon.errors import InputError

MODEL_NAME = re.compile(r"\w+(\.\w+)?", re.ASCII)
"""A model that timm has registered, with or without the name of its weights; prefixes such as `hf-hub:` fetch code."""

LOADS = re.compile(
    r"pretrained(?!_window_size).*|checkpoint_path|weights|cache_dir|.*(file|url|hub).*|save_path|state_dict|(.+_)?cfg"
)
"""Arguments of timm's builders that name weights or files, or replace what timm knows about them."""

SET_ELSEWHERE = ("num_classes", "in_chans", "self", "variant", "device", "dtype", "args", "kwargs", "model", "base")


def check_arguments(name: str, args: Mapping[str, Any]) -> None:
    """Check that `args` only describe the architecture of a registered model.

    Raises:
        InputError: An argument is not one of the architecture's, or could load weights.
    """
    allowed = architecture_arguments(name)
    for key in args:
        if key in allowed:
            continue
        if LOADS.fullmatch(key):
            raise InputError(
                "backbone.args",
                f"{key} is not allowed, because it can load files",
                "start from a checkpoint with backbone.weights, or from timm's weights with backbone.pretrained",
            )
        near = difflib.get_close_matches(key, allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise InputError("backbone.args", f"{name} does not take an argument {key!r}", hint)


@cache
def architecture_arguments(name: str) -> frozenset[str]:
    """Return the arguments of the networks that are defined in the module of a registered model."""
    module = sys.modules[model_entrypoint(name).__module__]
    own = [value for value in vars(module).values() if getattr(value, "__module__", "").partition(".")[0] != "torch"]
    classes = [value for value in own if isinstance(value, type) and issubclass(value, nn.Module)]
    constructors = [vars(base)["__init__"] for each in classes for base in each.__mro__ if "__init__" in vars(base)]
    functions = [value for value in own if inspect.isfunction(value) and value.__module__ == module.__name__]
    settings = [value for value in own if isinstance(value, type) and is_dataclass(value)]
    names = _parameters([*constructors, *functions]) | {each.name for value in settings for each in fields(value)}
    return frozenset(each for each in names if each not in SET_ELSEWHERE and not LOADS.fullmatch(each))


def _parameters(functions: Iterable[Callable[..., Any]]) -> set[str]:
    return {name for function in functions for name in inspect.signature(function).parameters}
