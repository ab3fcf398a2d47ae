"""Key queues: the last keys of earlier batches, kept in buffers and so in every checkpoint."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """A ring of unit-norm keys with their labels (He et al., CVPR 2020).

    Until real keys replace them, the entries are random directions labelled -1, which no sample's label equals.

    Attributes:
        keys: [size, D] float32, unit-norm.
        labels: [size] int64, -1 where no key was written yet.
    """

    keys: Tensor
    labels: Tensor
    position: Tensor
    written: Tensor

    def __init__(self, size: int, dim: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim, generator=generator), dim=1))
        self.register_buffer("labels", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    @property
    def size(self) -> int:
        """The number of entries."""
        return len(self.keys)

    @property
    def filled(self) -> int:
        """The number of entries that hold a real key."""
        return int(self.written)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Write keys [N, D] with labels [N] over the oldest entries; of more than `size` keys the last ones stay.

        The position is a tensor and the write an indexed copy, so that nothing here waits for the device.
        """
        skipped = max(len(keys) - self.size, 0)
        keys, labels = keys[skipped:], labels[skipped:]
        slots = (self.position + skipped + torch.arange(len(keys), device=self.keys.device)) % self.size
        self.keys.index_copy_(0, slots, keys.to(self.keys.dtype))
        self.labels.index_copy_(0, slots, labels)
        self.position.copy_((self.position + skipped + len(keys)) % self.size)
        self.written.add_(len(keys)).clamp_(max=self.size)


class ClassBanks(nn.Module):
    """One ring of raw keys per class (Bukchin et al., CVPR 2021).

    Until real keys replace them, the entries are random directions.

    Attributes:
        keys: [C, size, D] float32, as they were given.
        positions: [C], each bank's next slot.
        written: [C], how many real keys each bank holds.
    """

    keys: Tensor
    positions: Tensor
    written: Tensor

    def __init__(self, num_classes: int, size: int, dim: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(num_classes, size, dim, generator=generator), dim=2))
        self.register_buffer("positions", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("written", torch.zeros(num_classes, dtype=torch.int64))

    @property
    def size(self) -> int:
        """The number of entries of each bank."""
        return self.keys.shape[1]

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Write keys [N, D] into the banks of their labels [N], in their order, over each bank's oldest entries.

        Of more keys of a class than its bank holds the last ones stay.
        """
        classes, size, dim = self.keys.shape
        one_hot = F.one_hot(labels, classes)
        counts = one_hot.sum(0)
        rank = (one_hot.cumsum(0) - 1).gather(1, labels[:, None]).squeeze(1)  # place among the keys of its class
        slots = labels * size + (self.positions[labels] + rank) % size
        if len(keys) > size:  # a bank may be lapped, and two writes to one slot have no order
            stays = rank >= counts[labels] - size
            slots, keys = slots[stays], keys[stays]
        self.keys.view(-1, dim).index_copy_(0, slots, keys.to(self.keys.dtype))
        self.positions.add_(counts).remainder_(size)
        self.written.add_(counts).clamp_(max=size)
