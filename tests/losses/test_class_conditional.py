"""Class-conditional InfoNCE against its equation and in edge cases."""

import math

import pytest
import torch
from torch import Tensor

from coarsecon.losses import class_conditional_infonce, supcon_loss
from coarsecon.losses.precision import l2_normalize


def draw(images: int, views: int, dim: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(images * views)
    return l2_normalize(torch.randn(images, views, dim, generator=generator, dtype=torch.float64))


def written_out(features: Tensor, labels: list[int], t: float) -> float:
    places = [(i, v) for i in range(len(features)) for v in range(features.shape[1])]
    terms = []
    for i, v in places:
        s = {(j, w): float(features[i, v] @ features[j, w]) / t for j, w in places}
        rivals = [place for place in places if place != (i, v) and labels[place[0]] == labels[i]]
        log_total = math.log(sum(math.exp(s[place]) for place in rivals))
        positives = [place for place in rivals if place[0] == i]
        terms.append(sum(log_total - s[place] for place in positives) / len(positives))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("labels", [[0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [3, 1, 2, 0, 4], [7, 7, 7, 7, 2]])
def test_loss_equals_its_equation(labels, views):
    features = draw(5, views)
    loss = class_conditional_infonce(features, torch.tensor(labels), temperature=0.3)
    torch.testing.assert_close(float(loss), written_out(features, labels, 0.3))


def test_an_image_alone_of_its_class_gives_a_finite_loss_and_gradient():
    features = draw(4, 2).requires_grad_()
    loss = class_conditional_infonce(features, torch.arange(4), temperature=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert torch.isfinite(features.grad).all()
    assert class_conditional_infonce(draw(1, 2), torch.tensor([5]), temperature=0.1).isfinite()


def test_with_one_class_it_is_simclr():
    features = draw(6, 2)
    loss = class_conditional_infonce(features, torch.zeros(6, dtype=torch.int64), temperature=0.2)
    torch.testing.assert_close(loss, supcon_loss(features, temperature=0.2, base_temperature=0.2))


def test_other_classes_do_not_count():
    features, labels = draw(6, 2), torch.tensor([0, 0, 0, 1, 1, 1])
    whole = class_conditional_infonce(features, labels, temperature=0.2)
    halves = [class_conditional_infonce(features[labels == c], labels[labels == c], temperature=0.2) for c in (0, 1)]
    torch.testing.assert_close(whole, sum(halves) / 2)


def test_it_spreads_what_supcon_collapses():
    collapsed = l2_normalize(torch.ones(4, 2, 6, dtype=torch.float64))
    nudged = l2_normalize(collapsed + 0.05 * draw(4, 1))
    labels = torch.zeros(4, dtype=torch.int64)
    before, after = (class_conditional_infonce(x, labels, temperature=0.5) for x in (collapsed, nudged))
    assert after < before
    supcon = [supcon_loss(x, labels, temperature=0.5) for x in (collapsed, nudged)]
    assert supcon[1] >= supcon[0] - 1e-12


def test_one_view_is_refused():
    with pytest.raises(ValueError, match="two views"):
        class_conditional_infonce(draw(3, 1), torch.zeros(3, dtype=torch.int64), temperature=0.5)
