"""What would silently compute another loss is refused."""

import pytest
from loss_problems import random_problem

from coarsecon.losses import (
    ancor_loss,
    ascl_byol_loss,
    ascl_loss,
    maskcon_loss,
    masked_simclr_loss,
    moco_loss,
    supcon_loss,
)


@pytest.fixture
def x():
    return random_problem()


def test_a_misspelt_option_is_told_with_the_right_ones(x):
    banks = {"class_weights": x.class_weights, "banks": x.banks, "t": 0.2}
    for call in (
        lambda: ascl_loss(x.q, x.k, x.queue, t1=0.1, t2=0.1, kind="acsl"),
        lambda: ascl_byol_loss(x.q, x.k, t2=0.1, kind="hard"),
        lambda: ancor_loss(x.q, x.k, x.labels, **banks, kind="all"),
        lambda: ancor_loss(x.q, x.k, x.labels, **banks, metric="cosine"),
        lambda: supcon_loss(x.q[:, None], x.labels, contrast_mode="first"),
    ):
        with pytest.raises(ValueError, match="expected one of '"):
            call()


def test_rows_that_would_broadcast_are_refused(x):
    settings = {"w": 1.0, "t0": 0.1, "t": 0.1}
    for call in (
        lambda: moco_loss(x.q, x.k[:1], x.queue, t=0.1),
        lambda: moco_loss(x.q, x.k, x.queue, t=0.1, hard_negatives=x.hard[:1]),
        lambda: maskcon_loss(x.q, x.k, x.labels[:1], x.queue, x.queue_labels, **settings),
        lambda: maskcon_loss(x.q, x.k, x.labels, x.queue, x.queue_labels[:1], **settings),
        lambda: masked_simclr_loss(x.q, x.k, x.hard[:1], t=0.2),
        lambda: ancor_loss(x.q, x.k[:1], x.labels, x.class_weights, x.banks, t=0.2),
    ):
        with pytest.raises(ValueError, match="same number of rows"):
            call()
