"""Small random problems for the losses, and every loss as one function of a problem."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from coarsecon.losses.precision import l2_normalize

FEW = settings(max_examples=12, deadline=None, derandomize=True)
"""The same few examples on every machine."""


@dataclass(frozen=True)
class Problem:
    """What losses are given: N samples, K queue entries, C classes, D dimensions."""

    q: Tensor  # [N, D]
    k: Tensor  # [N, D]
    labels: Tensor  # [N]
    queue: Tensor  # [K, D], unit-norm
    queue_labels: Tensor  # [K]
    hard: Tensor  # [N, M, D]
    mask: Tensor  # [N, N]
    class_logits: Tensor  # [N, C]
    class_weights: Tensor  # [C, D]
    banks: Tensor  # [C, K, D]

    def changed(self, **fields: Tensor) -> "Problem":
        return replace(self, **fields)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "Problem":
        """The problem with `change` applied to every tensor of floats."""
        return replace(self, **{name: change(value) for name, value in vars(self).items() if value.is_floating_point()})

    def learned(self) -> "Problem":
        """A copy whose q collects a gradient."""
        return replace(self, q=self.q.detach().clone().requires_grad_())


def random_problem(
    seed: int = 0, *, n: int = 6, size: int = 20, dim: int = 8, classes: int = 3, dtype: torch.dtype = torch.float64
) -> Problem:
    """Gaussian vectors of differing lengths and uniform labels; float64 unless told."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def draw_labels(*shape: int, classes: int = classes) -> Tensor:
        return torch.randint(classes, shape, generator=generator)

    return Problem(
        q=draw(n, dim), k=draw(n, dim), labels=draw_labels(n), queue=F.normalize(draw(size, dim), dim=1),
        queue_labels=draw_labels(size), hard=draw(n, 2, dim), mask=draw_labels(n, n, classes=2),
        class_logits=draw(n, classes), class_weights=draw(classes, dim), banks=draw(classes, size, dim),
    )  # fmt: skip


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Down to one sample and an empty queue; some queues are half unfilled, some queries are zero."""
    problem = random_problem(
        draw(st.integers(0, 2**16)), n=draw(st.integers(1, 5)), size=draw(st.integers(0, 7)),
        dim=draw(st.integers(2, 6)), classes=draw(st.integers(1, 4)),
    )  # fmt: skip
    if draw(st.booleans()):
        problem.queue_labels[::2] = -1
    if draw(st.booleans()):
        problem.q[0] = 0
    return problem


def features(x: Problem) -> Tensor:
    """Two unit-norm views [N, 2, D] in the problem's precision."""
    full = (view.float() if view.dtype.itemsize < 4 else view for view in (x.q, x.k))
    return torch.stack([l2_normalize(view) for view in full], 1).to(x.q.dtype)


def _supcon(contrast_mode: str, *given: str) -> Callable[[Any, Problem], Tensor]:
    return lambda f, x: f.supcon_loss(
        features(x), contrast_mode=contrast_mode, temperature=0.1, **{name: getattr(x, name) for name in given}
    )


def _ascl(kind: str, neighbors: int) -> Callable[[Any, Problem], Tensor]:
    return lambda f, x: f.ascl_loss(x.q, x.k, x.queue, t1=0.1, t2=0.2, num_neighbors=neighbors, kind=kind)


def _ancor(kind: str, metric: str) -> Callable[[Any, Problem], Tensor]:
    return lambda f, x: f.ancor_loss(
        x.q, x.k, x.labels, x.class_weights, x.queue if kind == "cst_all" else x.banks, t=0.2, kind=kind, metric=metric
    )


LOSSES: dict[str, Callable[[Any, Problem], Tensor]] = {
    "moco": lambda f, x: f.moco_loss(x.q, x.k, x.queue, t=0.1),
    "moco-hard": lambda f, x: f.moco_loss(x.q, x.k, x.queue, t=0.2, hard_negatives=x.hard, alpha=2.0),
    "maskcon": lambda f, x: f.maskcon_loss(x.q, x.k, x.labels, x.queue, x.queue_labels, w=0.7, t0=0.1, t=0.05),
    "grafit": lambda f, x: f.grafit_loss(x.q, x.k, x.labels, x.queue, x.queue_labels, w=0.7, t0=0.1),
    "coins": lambda f, x: f.coins_loss(x.q, x.k, x.class_logits, x.labels, x.queue, w=0.3, t0=0.1),
    **{f"ascl-{kind}-{n}": _ascl(kind, n) for kind in ("ascl", "ahcl", "hard", "moco") for n in (1, 3)},
    "ascl_byol-ascl": lambda f, x: f.ascl_byol_loss(x.q, x.k, t2=0.2, num_neighbors=2),
    "ascl_byol-normal": lambda f, x: f.ascl_byol_loss(x.q, x.k, t2=0.2, kind="normal"),
    "masked_simclr": lambda f, x: f.masked_simclr_loss(x.q, x.k, x.hard, t=0.2, alpha=2.0),
    **{
        "-".join(["supcon", mode, *given]): _supcon(mode, *given)
        for mode in ("all", "one")
        for given in (("labels",), ("mask",), ())
    },
    **{
        f"ancor-{kind}-{metric}": _ancor(kind, metric)
        for kind in ("cst_by_class", "cst_all_by_class", "cst_all")
        for metric in ("angular", "norm")
        if (kind, metric) != ("cst_all", "angular")
    },
}
"""Every public loss in every form: (module of losses, problem) -> scalar."""
