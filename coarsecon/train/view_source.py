"""Batches of random views that depend on the seed and the step only, drawn for several steps at once."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import Split
from coarsecon.runtime import seeds
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.progress import Reporter
from coarsecon.train.batches import epoch_batches
from coarsecon.train.task import Timed
from coarsecon.views.base import View

ViewBatch = tuple[dict[str, Tensor], Tensor]
"""Views [B, 3, H, W] by name, channels last, and labels [B]."""


class ViewSource:
    """Draws the views of a rank's images.

    Args:
        split: The images.
        labels: Label of every image of the split, int64 [N].
        views: The random transforms, by name.
        batch_size: Global batch size; each rank draws its part.
        seed: Seed of the order of the images and of the views.
        steps_at_once: Number of steps whose views are drawn together.
    """

    def __init__(
        self,
        split: Split,
        labels: Tensor,
        views: Mapping[str, View],
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        workers: int = 0,
        steps_at_once: int = 1,
        comm: Distributed | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.views, self.batch_size, self.seed, self.device = dict(views), batch_size, seed, device
        self.steps_at_once, self.comm = steps_at_once, comm or Distributed()
        self.loader = ImageLoader(split, device, workers, reporter=reporter)
        self.labels = labels.to(device)

    def order(self, epoch: int, purpose: int = seeds.ORDER) -> list[Tensor]:
        """Return this rank's image indices of every full batch of an epoch."""
        order = epoch_batches(len(self.labels), self.batch_size, seed=self.seed, epoch=epoch, purpose=purpose)
        return [indices[self.comm.shard(self.batch_size)] for indices in order]

    def epoch(self, epoch: int, done: int, timed: Timed) -> Iterator[ViewBatch]:
        """Yield the batches of an epoch after the first `done`."""
        order = self.order(epoch)
        return self.draw(order, seeds.VIEWS, epoch * len(order), done=done, timed=timed)

    def draw(
        self, order: list[Tensor], purpose: int, first_step: int, *, done: int = 0, timed: Timed = iter
    ) -> Iterator[ViewBatch]:
        """Yield the batches of `order` after the first `done`; the first of `order` belongs to step `first_step`.

        Steps are grouped from the start of `order`, so that views do not depend on `done`. `timed` wraps the iterator
        that loads the images.
        """
        rank, size = self.comm.rank, self.steps_at_once
        starts = range(done - done % size, len(order), size)
        groups = [order[start : start + size] for start in starts]
        images = timed(self.loader.batches([torch.cat(group) for group in groups]))
        for start, group, batch in zip(starts, groups, images, strict=True):
            generator = seeds.step_generator(self.seed, purpose, first_step + start, rank, self.device)
            lengths = [len(indices) for indices in group]
            views = {
                name: view(batch, generator).contiguous(memory_format=torch.channels_last).split(lengths)
                for name, view in self.views.items()
            }
            labels = self.labels[torch.cat(group).to(self.device, non_blocking=True)].split(lengths)
            for offset in range(max(0, done - start), len(group)):
                seeds.seed_step(self.seed, purpose, first_step + start + offset, rank)
                yield {name: steps[offset] for name, steps in views.items()}, labels[offset]
