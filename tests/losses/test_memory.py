"""How much the losses hold at a time on top of their inputs, counted allocation by allocation.

The dense way of writing a loss over a queue holds six matrices over batch and queue at its peak (targets, logits,
log-softmax, their gradients); the bar of two is below 40% of that.
"""

from collections.abc import Callable

import pytest
import torch
from loss_problems import LOSSES, random_problem
from torch.profiler import ProfilerActivity, profile

from coarsecon import losses

FLOAT = 4


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that `work` holds at a time, what it leaves behind included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def forward_backward(name: str, problem) -> Callable[[], None]:
    learned = problem.learned()
    return lambda: LOSSES[name](losses, learned).backward()


@pytest.fixture(scope="module")
def long_queue():
    """A batch of 256 against a queue of 65,536, and small banks."""
    queue = random_problem(n=1, size=65_536, dim=32, dtype=torch.float32)
    batch = random_problem(n=256, size=1, dim=32, dtype=torch.float32)
    return batch.changed(queue=queue.queue, queue_labels=queue.queue_labels)


def test_the_count_sees_a_dense_matrix(long_queue):
    x = long_queue.learned()
    dense = peak_bytes(lambda: (x.q @ x.queue.T).log_softmax(1).sum().backward())
    assert dense >= 2 * 256 * 65_536 * FLOAT


QUEUED = ["moco", "moco-hard", "maskcon", "grafit", "coins", "ascl-ascl-1", "ascl-ahcl-3", "ascl-hard-3"]


@pytest.mark.parametrize("name", [*QUEUED, "ancor-cst_all-norm"])
def test_a_loss_over_a_long_queue_stays_below_two_matrices_over_batch_and_queue(long_queue, name):
    assert peak_bytes(forward_backward(name, long_queue)) < 2 * 256 * 65_536 * FLOAT


@pytest.mark.parametrize("name", ["ancor-cst_by_class-angular", "ancor-cst_all_by_class-angular"])
def test_banks_are_seen_from_their_classes_one_at_a_time(name):
    problem = random_problem(n=16, size=16_384, classes=16, dim=32, dtype=torch.float32)
    assert peak_bytes(forward_backward(name, problem)) < problem.banks.nbytes / 2


@pytest.mark.parametrize("name", ["supcon-all-labels", "supcon-all", "supcon-one-labels"])
def test_supcon_holds_a_few_matrices_over_pairs_of_views(name):
    """1.5 GB for 4096 images of two views, which is sixteen times the bar for 1024."""
    problem = random_problem(n=1024, size=1, dim=128, dtype=torch.float32)
    assert peak_bytes(forward_backward(name, problem)) < 1.5e9 / 16
