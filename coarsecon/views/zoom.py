"""Framings of an image: its center, enlarged."""

import torch
from torch import Tensor

from coarsecon.views.batch import ImageBatch


def center_crops(batch: ImageBatch, fraction: float) -> ImageBatch:
    """Crop the center of each image, `fraction` (above 0, at most 1) of its height and width, at least one pixel."""
    if fraction == 1:
        return batch
    boxes = (batch.sizes * fraction).round().long().clamp(min=1)
    starts = (batch.sizes - boxes) // 2
    height, width = boxes.amax(0).tolist()
    rows, columns = (_places(starts[:, axis], boxes[:, axis], length) for axis, length in ((0, height), (1, width)))
    images = torch.arange(len(batch), device=batch.pixels.device)[:, None, None]
    crops = batch.pixels.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    inside = (torch.arange(height, device=crops.device) < boxes[:, :1])[:, :, None]
    inside = inside & (torch.arange(width, device=crops.device) < boxes[:, 1:])[:, None, :]
    return ImageBatch(torch.where(inside[:, None], crops, 0).contiguous(), boxes)


def _places(starts: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Return the pixel indices [N, count] of boxes along one axis; those beyond a box repeat its last one."""
    steps = torch.arange(count, device=starts.device)
    return starts[:, None] + torch.minimum(steps, lengths[:, None] - 1)
