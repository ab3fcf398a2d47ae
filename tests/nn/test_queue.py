"""The key queue and the class banks: rings that take any batch size and remember the newest keys."""

import pytest
import torch
import torch.nn.functional as F
from golden import golden_cases, golden_tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from coarsecon.nn.queue import ClassBanks, KeyQueue

FEW = settings(max_examples=40, deadline=None, derandomize=True)
BATCHES = st.lists(st.integers(0, 20), min_size=1, max_size=6)


def keys_numbered(start: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys that tell by their entries, and labels that tell directly, as the how-manieth they were written."""
    labels = torch.arange(start, start + count)
    return labels[:, None].float().expand(count, 4), labels


def labelled_batches(sizes: list[int], classes: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of numbered keys with random class labels."""
    generator = torch.Generator().manual_seed(seed)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        (keys_numbered(start, size)[0], torch.randint(classes, (size,), generator=generator))
        for start, size in zip(starts, sizes, strict=True)
    ]


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


@FEW
@given(size=st.integers(1, 12), batches=BATCHES)
def test_a_queue_is_a_ring_written_key_by_key(size, batches):
    queue = KeyQueue(size, 4)
    keys, labels, written = queue.keys.clone(), queue.labels.clone(), 0
    for batch in batches:
        new_keys, new_labels = keys_numbered(written, batch)
        queue.enqueue(new_keys, new_labels)
        for key, label in zip(new_keys, new_labels, strict=True):
            keys[written % size], labels[written % size] = key, label
            written += 1
        assert torch.equal(queue.keys, keys)
        assert torch.equal(queue.labels, labels)
        assert queue.filled == min(written, size)
        assert queue.position == written % size


def test_an_unfilled_queue_holds_unit_vectors_without_a_label():
    queue = KeyQueue(10, 4, generator=torch.Generator().manual_seed(0))
    assert queue.filled == 0
    assert (queue.labels == -1).all()
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(10))
    assert torch.equal(queue.keys, KeyQueue(10, 4, generator=torch.Generator().manual_seed(0)).keys)


@pytest.mark.parametrize("case", golden_cases("ancor_bank"))
def test_enqueue_matches_the_golden_banks(case):
    tensors = golden_tensors(case)
    banks = ClassBanks(*tensors["bank0"].shape).double()
    banks.keys.copy_(tensors["bank0"])
    for keys, labels in zip(tensors["keys"], tensors["labels"], strict=True):
        banks.enqueue(keys, labels)
    assert torch.equal(banks.keys, tensors["bank_after"])
    assert torch.equal(banks.positions, tensors["ptr_after"])


@FEW
@given(classes=st.integers(1, 4), size=st.integers(1, 7), batches=BATCHES, seed=st.integers(0, 99))
def test_banks_are_rings_written_key_by_key(classes, size, batches, seed):
    banks = ClassBanks(classes, size, 4)
    keys, written = banks.keys.clone(), [0] * classes
    for new_keys, labels in labelled_batches(batches, classes, seed):
        banks.enqueue(new_keys, labels)
        for key, label in zip(new_keys, labels.tolist(), strict=True):
            keys[label, written[label] % size] = key
            written[label] += 1
        assert torch.equal(banks.keys, keys)
        assert banks.written.tolist() == [min(count, size) for count in written]
        assert banks.positions.tolist() == [count % size for count in written]


def test_a_batch_that_crosses_the_end_of_a_bank_goes_on_at_its_start():
    banks = ClassBanks(2, 5, 4)
    of_the_other = banks.keys[0].clone()
    for start in (0, 3):
        banks.enqueue(keys_numbered(start, 3)[0], torch.ones(3, dtype=torch.int64))
    assert banks.keys[1, :, 0].tolist() == [5, 1, 2, 3, 4]
    assert torch.equal(banks.keys[0], of_the_other)


def test_of_a_batch_larger_than_its_bank_the_last_keys_stay_where_one_by_one_would_put_them():
    banks = ClassBanks(1, 5, 4)
    banks.enqueue(keys_numbered(0, 2)[0], torch.zeros(2, dtype=torch.int64))
    banks.enqueue(keys_numbered(2, 11)[0], torch.zeros(11, dtype=torch.int64))
    assert banks.keys[0, :, 0].tolist() == [10, 11, 12, 8, 9]


def test_banks_keep_keys_raw_and_detached():
    banks = ClassBanks(2, 5, 4)
    keys = (7 * torch.ones(1, 4)).requires_grad_()
    banks.enqueue(keys, torch.tensor([1]))
    assert banks.keys[1, 0].tolist() == [7, 7, 7, 7]
    assert not banks.keys.requires_grad


def test_unfilled_banks_hold_unit_vectors():
    banks = ClassBanks(3, 5, 4)
    torch.testing.assert_close(banks.keys.norm(dim=2), torch.ones(3, 5))
    assert banks.written.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("make", [lambda: KeyQueue(10, 4), lambda: ClassBanks(3, 5, 4)], ids=["queue", "banks"])
def test_keys_of_any_precision_are_stored_in_single(make, dtype):
    memory = make()
    memory.enqueue(keys_numbered(0, 3)[0].to(dtype), torch.arange(3))
    assert memory.keys.dtype == torch.float32
    assert 2.0 in memory.keys


@pytest.mark.parametrize("make", [lambda: KeyQueue(10, 4), lambda: ClassBanks(3, 5, 4)], ids=["queue", "banks"])
def test_the_whole_state_travels_in_the_state_dict(make):
    memory, other = make(), make()
    first, second = labelled_batches([7, 7], 3, 0)
    memory.enqueue(*first)
    other.load_state_dict(memory.state_dict())
    for each in (memory, other):
        each.enqueue(*second)
    for name, value in memory.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
