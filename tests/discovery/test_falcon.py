"""The loss of FALCON against its equation, and the map of fine to coarse classes against all maps."""

import itertools
import math

import numpy as np
import pytest
import torch

from coarsecon.discovery.falcon import distribute, falcon_loss


@pytest.mark.parametrize("softness", [0.0, 0.3, 1.0])
def test_the_loss_is_the_equation_for_each_image(softness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, teacher = (torch.randn(3, 4, generator=generator) for _ in range(2))
    near = torch.randn(3, 2, 4, generator=generator)
    own = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
    p, near_p = logits.softmax(1), near.softmax(2)
    coarse = fine = neighbor = 0.0
    for i in range(3):
        inside = [f for f in range(4) if own[i, f]]
        coarse -= math.log(sum(float(p[i, f]) for f in inside)) / 3
        weights = {f: math.exp(float(teacher[i, f]) / 0.9) for f in inside}
        best = max(inside, key=lambda f: weights[f])
        for f in inside:
            target = softness * weights[f] / sum(weights.values()) + (1 - softness) * (f == best)
            fine -= target * math.log(float(p[i, f])) / 3
        for s in range(2):
            neighbor -= math.log(float((p[i] * near_p[i, s]).sum())) / 6
    mean = p.mean(0)
    entropy = math.log(4) + float((mean * mean.log()).sum())
    expected = 0.5 * coarse + 0.5 * (fine + neighbor) + 2 * entropy
    assert float(falcon_loss(logits, near, teacher, own, softness)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("balance", [0.0, 0.1, 3.0])
def test_the_map_is_the_best_of_all_maps(balance: float) -> None:
    gain = np.random.default_rng(0).random((5, 3))

    def value(owner: tuple[int, ...]) -> float:
        sizes = np.bincount(owner, minlength=3)
        return sum(gain[f, c] for f, c in enumerate(owner)) - balance * float((sizes**2).sum()) / 3

    complete = [each for each in itertools.product(range(3), repeat=5) if len(set(each)) == 3]
    assert value(tuple(distribute(gain, balance))) == pytest.approx(max(map(value, complete)))
