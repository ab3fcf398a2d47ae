"""The key queue: the last keys of earlier batches with their labels, kept in buffers and so in every checkpoint."""

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
