"""The last lines of a training: the frozen and the trained encoder, query by query."""

import pytest
import torch

from coarsecon.metrics.interval import paired_difference
from coarsecon.train.monitor import WITHIN
from coarsecon.train.verdict import verdict


def hits(count: int, total: int = 100) -> torch.Tensor:
    return (torch.arange(total) < count).float()


def test_each_line_has_both_values_and_the_paired_interval():
    lines = verdict({"fine_recall@1": hits(40)}, {"fine_recall@1": hits(60)}, "val")
    low, high = paired_difference((hits(60) - hits(40)).numpy())
    interval = f"95% interval {100 * low:.1f} to {100 * high:.1f}"
    assert lines == [f"fine Recall@1 on val: frozen 40.0, trained 60.0 (+20.0, {interval})"]


@pytest.mark.parametrize(("after", "effect"), [(40, "made no measurable difference"), (10, "lowered it")])
def test_training_that_does_not_help_within_coarse_classes_is_named_with_a_remedy(after, effect):
    frozen, trained = (
        {"fine_recall@1": hits(before), WITHIN: hits(within)} for before, within in [(40, 40), (60, after)]
    )
    lines = verdict(frozen, trained, "val")
    assert len(lines) == 3
    assert lines[1].startswith(f"fine Recall@1 within coarse classes on val: frozen 40.0, trained {after}.0")
    assert lines[2].startswith(f"Training did not help within coarse classes: it {effect}; consider the initial")


def test_images_that_do_not_count_are_left_out():
    unknown = torch.full((100,), torch.nan)
    frozen, trained = (torch.cat([hits(count), unknown]) for count in (40, 60))
    assert "frozen 40.0, trained 60.0" in verdict({"fine_recall@1": frozen}, {"fine_recall@1": trained}, "val")[0]


def test_without_fine_labels_the_training_labels_are_compared():
    lines = verdict({"coarse_recall@1": hits(40)}, {"coarse_recall@1": hits(60)}, "test")
    assert len(lines) == 1
    assert lines[0].startswith("coarse Recall@1 on test: frozen 40.0")
