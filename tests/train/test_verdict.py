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


@pytest.mark.parametrize(
    ("overall", "within", "where"),
    [(60, 40, "within coarse classes"), (60, 10, "within coarse classes"), (40, 60, "overall"),
     (40, 40, "overall or within coarse classes"), (60, 60, "")],
)  # fmt: skip
def test_training_that_does_not_help_is_named_with_a_remedy(overall, within, where):
    frozen = {"fine_recall@1": hits(40), WITHIN: hits(40)}
    lines = verdict(frozen, {"fine_recall@1": hits(overall), WITHIN: hits(within)}, "val")
    assert lines[1].startswith(f"fine Recall@1 within coarse classes on val: frozen 40.0, trained {within}.0")
    advice = f"Training did not help {where}; consider the initial checkpoint, a lower learning rate (optimizer.lr)"
    assert [line[: len(advice)] for line in lines[2:]] == [advice] * bool(where)


def test_images_that_do_not_count_are_left_out():
    unknown = torch.full((100,), torch.nan)
    frozen, trained = (torch.cat([hits(count), unknown]) for count in (40, 60))
    assert "frozen 40.0, trained 60.0" in verdict({"fine_recall@1": frozen}, {"fine_recall@1": trained}, "val")[0]


def test_training_images_are_named_as_such():
    lines = verdict({"fine_recall@1": hits(40)}, {"fine_recall@1": hits(60)}, "train")
    assert lines[0].startswith("fine Recall@1 on train (training images): frozen")


def test_without_fine_labels_the_training_labels_are_compared():
    lines = verdict({"coarse_recall@1": hits(40)}, {"coarse_recall@1": hits(60)}, "test")
    assert len(lines) == 1
    assert lines[0].startswith("coarse Recall@1 on test: frozen 40.0")
