"""Key queues: the last keys of earlier batches, stored in buffers and so in every checkpoint."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """Ring buffer of unit-norm labeled keys (He et al., CVPR 2020).

    Initial entries are random directions with label -1, which no sample has.

    Attributes:
        keys: [size, D] float32, unit-norm.
        labels: [size] int64, -1 for initial entries.
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
        """Number of entries."""
        return len(self.keys)

    @property
    def filled(self) -> int:
        """Number of entries with a real key."""
        return int(self.written)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Replace the oldest entries by keys [N, D] with labels [N]; of more than `size` keys the last ones are kept.

        The position is a tensor and the write an indexed copy, to avoid synchronizing with the device.
        """
        skipped = max(len(keys) - self.size, 0)
        keys, labels = keys[skipped:], labels[skipped:]
        slots = (self.position + skipped + torch.arange(len(keys), device=self.keys.device)) % self.size
        self.keys.index_copy_(0, slots, keys.to(self.keys.dtype))
        self.labels.index_copy_(0, slots, labels)
        self.position.copy_((self.position + skipped + len(keys)) % self.size)
        self.written.add_(len(keys)).clamp_(max=self.size)


class ClassBanks(nn.Module):
    """One ring buffer of keys per class (Bukchin et al., CVPR 2021). Initial entries are random directions.

    Attributes:
        keys: [C, size, D] float32, not normalized.
        positions: [C], the next slot of each bank.
        written: [C], number of real keys in each bank.
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
        """Number of entries of each bank."""
        return self.keys.shape[1]

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Replace the oldest entries of the banks of labels [N] by keys [N, D], in their order.

        If a class has more keys than its bank has entries, the last ones are kept.
        """
        classes, size, dim = self.keys.shape
        one_hot = F.one_hot(labels, classes)
        counts = one_hot.sum(0)
        rank = (one_hot.cumsum(0) - 1).gather(1, labels[:, None]).squeeze(1)  # position among the keys of its class
        slots = labels * size + (self.positions[labels] + rank) % size
        if len(keys) > size:  # two writes to one slot have no defined order
            stays = rank >= counts[labels] - size
            slots, keys = slots[stays], keys[stays]
        self.keys.view(-1, dim).index_copy_(0, slots, keys.to(self.keys.dtype))
        self.positions.add_(counts).remainder_(size)
        self.written.add_(counts).clamp_(max=size)
