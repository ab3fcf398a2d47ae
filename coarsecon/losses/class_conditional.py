"""Contrast within the coarse class (Chen, Fu et al., ICML 2022, arXiv 2204.07596)."""

import torch
from torch import Tensor

from coarsecon.losses.precision import full_precision


@full_precision
def class_conditional_infonce(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Compute class-conditional InfoNCE (L_cNCE): contrast each image with the other images of its class only.

    Mean over all views a and the other views p of the same image of -[s(a, p) / T - log sum_x exp(s(a, x) / T)], where
    x iterates over all views in the batch of a's class except a. With two views, the only image of a class adds 0.

    Args:
        features: Unit-norm projections [B, V, D] of V >= 2 views.
        labels: Coarse labels [B].
        temperature: Temperature T.

    Raises:
        ValueError: There is only one view, so there are no positives.
    """
    images, views, _ = features.shape
    if views < 2:
        raise ValueError("class-conditional InfoNCE needs at least two views of each image")
    anchors = features.flatten(0, 1)
    image = torch.arange(images, device=labels.device).repeat_interleave(views)
    itself = torch.eye(images * views, dtype=torch.bool, device=labels.device)
    same_image = (image[:, None] == image) & ~itself
    same_class = (labels[image][:, None] == labels[image]) & ~itself

    logits = anchors @ anchors.T / temperature
    log_total = logits.masked_fill(~same_class, float("-inf")).logsumexp(1)  # includes the other views of the image
    attraction = (logits * same_image).sum(1) / (views - 1)
    return (log_total - attraction).mean()
