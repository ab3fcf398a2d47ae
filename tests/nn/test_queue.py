"""The key queue: a ring that takes any batch size and remembers the newest keys."""

import pytest
import torch
import torch.nn.functional as F
from golden import golden_cases, golden_tensors

from coarsecon.nn.queue import KeyQueue


def keys_numbered(start: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(start, start + count)
    return labels[:, None].float().expand(count, 4), labels


@pytest.mark.parametrize("case", golden_cases("maskcon"))
def test_enqueue_matches_the_golden_queues(case):
    tensors = golden_tensors(case)
    queue = KeyQueue(*tensors["queue"].shape).double()
    queue.keys.copy_(tensors["queue"])
    queue.labels.copy_(tensors["queue_labels"])
    queue.enqueue(F.normalize(tensors["k"], dim=1), tensors["labels"])
    torch.testing.assert_close(queue.keys, tensors["queue_after"])
    assert torch.equal(queue.labels, tensors["queue_labels_after"])
    assert queue.position == tensors["queue_ptr_after"]


@pytest.mark.parametrize("batch", [1, 3, 7, 10, 23])
def test_any_batch_size_leaves_the_newest_keys(batch):
    queue = KeyQueue(10, 4)
    for start in range(0, 10 * batch, batch):
        queue.enqueue(*keys_numbered(start, batch))
    assert sorted(queue.labels.tolist()) == list(range(10 * batch - 10, 10 * batch))
    assert torch.equal(queue.keys[:, 0], queue.labels.float())


def test_the_ring_keeps_its_order_after_an_oversized_batch():
    one_by_one, at_once = KeyQueue(10, 4), KeyQueue(10, 4)
    keys, labels = keys_numbered(0, 23)
    for i in range(23):
        one_by_one.enqueue(keys[i : i + 1], labels[i : i + 1])
    at_once.enqueue(keys, labels)
    assert torch.equal(one_by_one.labels, at_once.labels)
    assert one_by_one.position == at_once.position


def test_filled_counts_real_keys_and_stops_at_the_size():
    queue = KeyQueue(10, 4)
    assert queue.filled == 0
    assert (queue.labels == -1).all()
    queue.enqueue(*keys_numbered(0, 4))
    assert queue.filled == 4
    queue.enqueue(*keys_numbered(4, 23))
    assert queue.filled == 10


def test_the_whole_state_travels_in_the_state_dict():
    queue, other = KeyQueue(10, 4), KeyQueue(10, 4)
    queue.enqueue(*keys_numbered(0, 7))
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.enqueue(*keys_numbered(7, 7))
    assert torch.equal(queue.keys, other.keys)
    assert other.filled == 10
