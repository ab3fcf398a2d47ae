"""The loss of SCGM-G against its equation, and balanced assignments."""

import math

import pytest
import torch
from discovery.test_groups import blobs

from coarsecon.discovery.scgm import SCGM, balanced_assignment, scgm_loss
from coarsecon.metrics.agreement import agreement


def test_the_loss_is_the_equation_for_each_image() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, projection = torch.randn(5, 6, generator=generator), torch.randn(4, 6, generator=generator)
    fine, upper = torch.randn(3, 4, generator=generator), torch.randn(2, 4, generator=generator)
    coarse, assigned = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0, 2, 1, 0, 1])

    def unit(vector: torch.Tensor) -> torch.Tensor:
        return vector / vector.norm()

    def log_softmax(values: list[float], index: int) -> float:
        return values[index] - math.log(sum(math.exp(value) for value in values))

    expected = 0.0
    for i in range(5):
        v, z, y = unit(projection @ rows[i]), int(assigned[i]), int(coarse[i])
        expected -= 0.5 * log_softmax([float(v @ unit(each)) / 0.1 for each in fine], z) / 5
        expected -= 0.5 * log_softmax([float(unit(each) @ unit(fine[z])) for each in upper], y) / 5
        expected -= log_softmax([float(v.clamp_min(0) @ unit(each)) for each in upper], y) / 5
    assert float(scgm_loss(rows, coarse, assigned, projection, fine, upper)) == pytest.approx(expected, rel=1e-5)


def test_clusters_get_equally_many_images() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(60, 3, generator=generator)
    scores[:, 0] += 1.0
    assert scores.argmax(1).bincount(minlength=3).max() > 30
    assigned = balanced_assignment((scores / 10).log_softmax(1))
    assert assigned.bincount(minlength=3).tolist() == pytest.approx([20, 20, 20], abs=4)


def test_an_assignment_that_is_balanced_stays() -> None:
    scores = torch.eye(3).repeat(4, 1)
    assert torch.equal(balanced_assignment(scores.log_softmax(1)), scores.argmax(1))


def test_hidden_classes_of_equal_size_are_found() -> None:
    first, one = blobs([40, 40, 40])
    second, two = blobs([40, 40], seed=1)
    found = [each.argmax(1) for each in SCGM(SCGM.Config()).fit([first, second], [3, 2], seed=0)]
    for clusters, labels in zip(found, (one, two), strict=True):
        scores = agreement(clusters, labels)
        assert scores is not None
        assert scores["accuracy"] > 0.9
