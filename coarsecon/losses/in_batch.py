"""Contrast within the batch: SupCon and SimCLR (Khosla et al., NeurIPS 2020; Chen et al., ICML 2020).

The mean similarity to the positives is linear in the anchor, so it needs one weighted sum of features per image;
only the log-sum-exp over all other views needs a matrix over pairs of views.
"""

from typing import Literal

import torch
from torch import Tensor

from coarsecon.losses.arguments import check_choice
from coarsecon.losses.precision import full_precision

ContrastMode = Literal["all", "one"]


@full_precision
def supcon_loss(
    features: Tensor,
    labels: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    temperature: float = 0.07,
    base_temperature: float = 0.07,
    contrast_mode: ContrastMode = "all",
) -> Tensor:
    """Compute the supervised contrastive loss over V views (Khosla et al., NeurIPS 2020, Eq. 2: sum outside the log).

    -(T / T_base) * mean over anchors of the mean over positives p of
    [s(a, p) / T - log sum_{x != a} exp(s(a, x) / T)]; an anchor without a positive adds 0.

    Args:
        features: Unit-norm projections [B, V, D].
        labels: Labels [B]; without labels and mask the positives are the other views of the same image (SimCLR).
        mask: [B, B], 1 where image j is a positive of image i; excludes labels.
        temperature: T.
        base_temperature: T_base.
        contrast_mode: Anchors: `all` views, or the first (`one`) of each image.

    Raises:
        ValueError: Both labels and mask are given, or they do not have one row per image.
    """
    check_choice("contrast_mode", contrast_mode, ContrastMode)
    images, views, dim = features.shape
    if labels is not None and mask is not None:
        raise ValueError("give labels or a mask, not both")
    if (labels is not None and labels.shape != (images,)) or (mask is not None and mask.shape != (images, images)):
        raise ValueError(f"{images} images need labels [{images}] or a mask [{images}, {images}]")
    if mask is None:
        ids = torch.arange(images, device=features.device) if labels is None else labels
        mask = ids[:, None] == ids[None, :]
    mask = mask.to(features.dtype)

    contrast = features.transpose(0, 1).reshape(views * images, dim)  # all first views, all second views, ...
    anchors = contrast if contrast_mode == "all" else contrast[:images]
    repeats = len(anchors) // images
    itself = mask.diagonal().repeat(repeats)
    attraction = (anchors * (mask @ features.sum(1)).repeat(repeats, 1)).sum(1) - itself * (anchors * anchors).sum(1)
    positives = views * mask.sum(1).repeat(repeats) - itself
    loss = others_logsumexp(anchors, contrast, temperature) - attraction / temperature / positives.clamp(min=1e-6)
    return temperature / base_temperature * torch.where(positives > 0, loss, 0).mean()


def others_logsumexp(anchors: Tensor, contrast: Tensor, temperature: float) -> Tensor:
    """Compute log sum_{x != a} exp(s(a, x) / T) [A] of anchors [A, D], the first rows of contrast [M, D]."""
    logits = (anchors / temperature) @ contrast.T
    # The lowest finite number instead of -inf, so that the only anchor of a batch has a finite gradient.
    logits.diagonal().fill_(torch.finfo(logits.dtype).min)
    return logits.logsumexp(1)
