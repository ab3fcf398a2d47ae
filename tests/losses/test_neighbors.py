"""ASCL in its limits: the number of neighbours, the confidence, one candidate."""

import pytest
import torch
import torch.nn.functional as F
from loss_problems import random_problem

from coarsecon.losses import ascl_byol_loss, ascl_loss, grafit_loss, moco_loss
from coarsecon.losses.neighbors import neighbor_weights


@pytest.fixture
def x():
    return random_problem()


def ascl(x, **settings):
    return ascl_loss(x.q, x.k, x.queue, **{"t1": 0.1, "t2": 0.1, **settings})


def moco(x):
    return moco_loss(x.q, x.k, x.queue, t=0.1)


def everyone_attracts(x):
    one_class = x.changed(labels=0 * x.labels, queue_labels=0 * x.queue_labels)
    return grafit_loss(x.q, x.k, one_class.labels, x.queue, one_class.queue_labels, w=1.0, t0=0.1)


def test_the_kind_without_neighbours_is_moco(x):
    torch.testing.assert_close(ascl(x, kind="moco", num_neighbors=5), moco(x))


@pytest.mark.parametrize("kind", ["ascl", "ahcl"])
def test_a_key_equally_near_to_all_is_sure_of_none(x, kind):
    torch.testing.assert_close(ascl(x, kind=kind, t2=1e9), moco(x))


@pytest.mark.parametrize("kind", ["ascl", "ahcl"])
def test_at_temperature_zero_the_nearest_attracts_like_the_own_key(x, kind):
    torch.testing.assert_close(ascl(x, kind=kind, t2=1e-6), ascl(x, kind="hard"))


@pytest.mark.parametrize("neighbors", [20, 21, 1000])
def test_with_as_many_neighbours_as_entries_all_attract(x, neighbors):
    torch.testing.assert_close(ascl(x, kind="hard", num_neighbors=neighbors), everyone_attracts(x))
    torch.testing.assert_close(ascl(x, kind="ahcl", num_neighbors=neighbors), ascl(x, kind="ahcl", num_neighbors=20))


def test_no_entry_attracts_more_than_the_own_key(x):
    torch.testing.assert_close(ascl(x, kind="ascl", num_neighbors=10**9), everyone_attracts(x))


@pytest.mark.parametrize("kind", ["ascl", "ahcl", "hard"])
def test_of_a_queue_of_one_the_key_is_sure(x, kind):
    """log 1 = 0 leaves the confidence undefined; one candidate is chosen for certain."""
    one = x.changed(queue=x.queue[:1], queue_labels=x.queue_labels[:1])
    torch.testing.assert_close(ascl(one, kind=kind), everyone_attracts(one))


def test_weights_follow_the_equation_of_two_candidates():
    """p = (3/4, 1/4): a = 1 - H / log 2 = 0.18872..., in every kind."""
    similarity = torch.tensor([[3.0, 1.0]], dtype=torch.float64).log()
    expected = {
        ("ascl", 1): [0.1415415, 0.0471805],
        ("ascl", 8): [1.0, 0.3774438],
        ("ahcl", 1): [0.1887219, 0.0],
        ("ahcl", 2): [0.1887219, 0.1887219],
        ("hard", 1): [1.0, 0.0],
    }
    for (kind, neighbors), row in expected.items():
        found = neighbor_weights(similarity.clone(), candidates=2, num_neighbors=neighbors, kind=kind)
        torch.testing.assert_close(found, torch.tensor([row], dtype=torch.float64), rtol=1e-5, atol=1e-7)


def test_byol_is_the_squared_distance_of_unit_vectors(x):
    distance = (F.normalize(x.q, dim=1) - F.normalize(x.k, dim=1)).square().sum(1).mean()
    torch.testing.assert_close(ascl_byol_loss(x.q, x.k, t2=0.05, kind="normal"), distance)
    assert ascl_byol_loss(-x.k, x.k, t2=0.05, kind="normal").item() == pytest.approx(4)


def test_the_own_key_is_no_neighbour_of_itself(x):
    """Far from the others at temperature zero: were it a candidate, it would be the surest of all."""
    two = x.changed(q=x.q[:2], k=x.k[:2])
    u, v = F.normalize(two.q, dim=1), F.normalize(two.k, dim=1)
    expected = (2 - 2 * (u @ v.T).mean(1)).mean()  # the own key and the one other, in equal parts
    torch.testing.assert_close(ascl_byol_loss(two.q, two.k, t2=0.05), expected)


def test_byol_with_unsure_or_no_neighbours_is_byol(x):
    normal = ascl_byol_loss(x.q, x.k, t2=0.1, kind="normal")
    torch.testing.assert_close(ascl_byol_loss(x.q, x.k, t2=1e9), normal)
    one = ascl_byol_loss(x.q[:1], x.k[:1], t2=0.1)
    torch.testing.assert_close(one, ascl_byol_loss(x.q[:1], x.k[:1], t2=0.1, kind="normal"))
