"""Distillation to the initial encoder: training changes its features only as far as the method's loss needs it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.losses.precision import l2_normalize, to_float32
from coarsecon.methods import Method
from coarsecon.train.distributed_step import Step


class Distillation:
    """A step with the further term weight * (1 - cos(features, features of the initial encoder)).

    The term is the mean over all inputs that the method passes to its encoder with gradient, so it works with every
    method. `initial` is in evaluation mode and has no gradient.

    Args:
        method: The method, with its initial weights.
        weight: Weight of the term.
    """

    def __init__(self, method: Method, weight: float) -> None:
        self.weight, self.method = weight, method
        self.initial = copy.deepcopy(method.encoder).requires_grad_(False).eval()
        self._recorder = _Recorder()
        # Once, and not in every step: a network that is compiled would be compiled again.
        method.encoder.register_forward_hook(self._recorder)

    def __call__(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the scalars of the method's step, with the term in `loss` and, without weight, as `distillation`.

        Raises:
            InputError: The method does not call its encoder.
        """
        calls = self._recorder.calls = []
        try:
            scalars = self.method.step(views, labels)
        finally:
            self._recorder.calls = None
        distances = [1 - cosine(features, self._target(inputs)) for inputs, features in calls if features.requires_grad]
        if not distances:
            name = type(self.method).__name__
            raise InputError("finetune.distill", f"{name} does not call its encoder as a module", "set it to 0")
        distance = torch.cat(distances).mean()
        return {**scalars, "loss": scalars["loss"] + self.weight * distance, "distillation": distance.detach()}

    @torch.no_grad()
    def _target(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.initial(inputs)
        return features


class _Recorder:
    """A forward hook that records inputs and outputs while `calls` is a list."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor]] | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if self.calls is not None:
            self.calls.append((inputs[0], output))


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Compute the cosine similarity [N] of the rows of a and b [N, D] in float32."""
    return (l2_normalize(to_float32(a)) * l2_normalize(to_float32(b))).sum(1)


def distilled(method: Method, weight: float) -> tuple[Step, dict[str, nn.Module]]:
    """Return the step of a method with distillation if it has a weight, and the initial encoder to save by name."""
    if not weight:
        return method.step, {}
    step = Distillation(method, weight)
    return step, {"initial": step.initial}
