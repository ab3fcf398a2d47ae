"""Classify by a weighted vote of the nearest neighbours in a bank of labelled features."""

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.search.exact import nearest, unit

VOTES_AT_ONCE = 2**22
"""Entries of the matrix of votes [queries, classes] that are held at one time (16 MiB in float32)."""


@torch.no_grad()
def knn_predict(bank: Tensor, bank_labels: Tensor, queries: Tensor, *, k: int = 200, t: float = 0.1) -> Tensor:
    """The class [Q] int64 with the largest sum of exp(cosine / t) among each query's `k` nearest bank items.

    bank [M, D] and queries [Q, D], normalised here; bank_labels [M] integers, -1 where unknown (no vote).
    A `k` beyond the bank means the whole bank. Wu et al., "Unsupervised Feature Learning via Non-Parametric
    Instance Discrimination" (2018), with the settings of ASCL. Raises InputError when no label is known.
    """
    bank, queries = unit(bank), unit(queries)
    bank_labels = torch.as_tensor(bank_labels, device=bank.device).long()
    known = bank_labels >= 0
    if not known.any():
        raise InputError("no image of the kNN bank has a label to vote with: label some training images")
    bank, bank_labels = bank[known], bank_labels[known]
    num_classes = int(bank_labels.max()) + 1
    predictions = []
    for chunk in queries.split(max(1, VOTES_AT_ONCE // max(k, num_classes))):
        cosines, indices = nearest(chunk, bank, k)
        # Weights relative to the nearest item's: the same winner, and no overflow at a small temperature.
        weights = ((cosines - cosines[:, :1]) / t).exp()
        votes = weights.new_zeros(len(chunk), num_classes)
        predictions.append(votes.scatter_add_(1, bank_labels[indices], weights).argmax(1))
    return torch.cat(predictions)
