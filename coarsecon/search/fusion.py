"""Combine the features of several encoders."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coarsecon.search.exact import l2_normalize


def concatenate(features: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Concatenate features [N, D_i], each L2-normalized and multiplied by its weight, and normalize the result.

    The cosine of two results is the mean of the cosines of the parts, weighted by the squares of the weights.
    """
    scaled = [weight * l2_normalize(part) for part, weight in zip(features, weights, strict=True)]
    return l2_normalize(torch.cat(scaled, dim=1))
