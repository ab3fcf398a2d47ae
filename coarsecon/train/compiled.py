"""Compiled networks: fewer and larger kernels, and on a GPU one launch for all of them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from coarsecon.methods import Method

STEPS_WORTH_COMPILING = 10_000
"""On a GPU a step of a small network waits some two milliseconds for launches, and compiling takes half a minute."""


def pays(device: torch.device, steps: int) -> bool:
    """Whether to compile a run of so many steps: on the CPU it gained 4% to 10%, which many runs are too short for."""
    return device.type == "cuda" and steps >= STEPS_WORTH_COMPILING


def compile_networks(method: Method, device: torch.device, backend: str = "inductor") -> None:
    """Compile the encoder and its momentum twin, each for itself, in place; weights keep their names.

    On a GPU the kernels of each are recorded as CUDA graphs, for which the batch keeps one shape. A network that
    cannot be compiled runs as it is, with a warning by torch.
    """
    torch._dynamo.config.suppress_errors = True
    mode = "reduce-overhead" if device.type == "cuda" and backend == "inductor" else None
    for network in networks(method):
        network.compile(backend=backend, mode=mode, dynamic=False)


def networks(method: Method) -> list[nn.Module]:
    """The method's encoder and every other network of its class."""
    return [module for module in method.modules() if type(module) is type(method.encoder)]


def uncompiled(is_compiled: bool | None) -> AbstractContextManager[None]:
    """What runs within takes networks as they are: other batches than a step's would be compiled anew.

    Where nothing is compiled it does nothing, for the compiler takes seconds to import.
    """
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
