"""Compiled networks: fewer and larger kernels, and on a GPU one launch for all of them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from coarsecon.methods import Method

COMPILE_MIN_STEPS = 10_000
"""On a GPU, a step of a small network waits about 2 ms for kernel launches, and compiling takes half a minute."""


def should_compile(device: torch.device, steps: int) -> bool:
    """Return whether compiling pays for a run of `steps`; on the CPU it gains 4% to 10%, too little for most runs."""
    return device.type == "cuda" and steps >= COMPILE_MIN_STEPS


def compile_networks(method: Method, device: torch.device, backend: str = "inductor") -> None:
    """Compile the encoder and its momentum encoder separately, in place; weights keep their names.

    On a GPU the kernels of each are recorded as CUDA graphs, which need batches of one shape. A network that cannot be
    compiled runs uncompiled, with a warning by torch.
    """
    torch._dynamo.config.suppress_errors = True
    mode = "reduce-overhead" if device.type == "cuda" and backend == "inductor" else None
    for network in networks(method):
        network.compile(backend=backend, mode=mode, dynamic=False)


def networks(method: Method) -> list[nn.Module]:
    """Return the method's encoder and every other network of its class."""
    return [module for module in method.modules() if type(module) is type(method.encoder)]


def uncompiled(is_compiled: bool | None) -> AbstractContextManager[None]:
    """Run networks uncompiled within the block: batches of another shape would be compiled again.

    Does nothing if nothing is compiled, because the compiler takes seconds to import.
    """
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
