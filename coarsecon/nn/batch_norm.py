"""Batch norm over virtual groups of the batch, as if each group were on a separate device.

With one set of statistics for the batch, queries and keys can recognize each other by it (He et al., CVPR
2020, Sec. 3.3). Shuffling the batch changes nothing about that on one device; splitting it does (ASCL: 8 groups).
"""

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from coarsecon.errors import InputError


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that normalizes each of `splits` groups of consecutive samples separately in training."""

    splits: int

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, H, W]."""
        return normalize_in_groups(self, x) if self.training else super().forward(x)


class SplitBatchNormAct2d(BatchNormAct2d):
    """The same for timm's batch norm with dropout and activation."""

    splits: int

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, H, W]."""
        activated: Tensor = self.act(self.drop(normalize_in_groups(self, x))) if self.training else super().forward(x)  # type: ignore[no-untyped-call]
        return activated


SPLIT_FORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: SplitBatchNorm2d,
    BatchNormAct2d: SplitBatchNormAct2d,
}


def normalize_in_groups(norm: SplitBatchNorm2d | SplitBatchNormAct2d, x: Tensor) -> Tensor:
    """Apply training-mode batch norm to `norm.splits` nearly equal groups of x [N, C, H, W].

    Running statistics keep their shape [C] and follow the mean over the groups, so that the weights are those of the
    plain network, and evaluation does not depend on the splits.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    groups = x.tensor_split(min(norm.splits, len(x)))
    means = norm.running_mean.repeat(len(groups), 1)
    variances = norm.running_var.repeat(len(groups), 1)
    normalized = [
        F.batch_norm(group, mean, variance, norm.weight, norm.bias, True, norm.momentum, norm.eps)
        for group, mean, variance in zip(groups, means, variances, strict=True)
    ]
    with torch.no_grad():
        norm.running_mean.copy_(means.mean(0))
        norm.running_var.copy_(variances.mean(0))
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    return torch.cat(normalized)


def split_batch_norm(model: nn.Module, splits: int) -> None:
    """Make every batch norm of the model work in `splits` groups; weights and their names are unchanged.

    Raises:
        InputError: The model has no batch norm, or one that cannot be split.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    unknown = {type(norm).__name__ for norm in norms if type(norm) not in SPLIT_FORMS}
    if not norms or unknown:
        what = f"has {', '.join(sorted(unknown))}, which cannot be split" if unknown else "has no batch norm to split"
        raise InputError("backbone.batch_norm_splits", f"{type(model).__name__} {what}", "set it to 1")
    for norm in norms:
        norm.__class__ = SPLIT_FORMS[type(norm)]  # type: ignore[assignment]
        norm.splits = splits  # type: ignore[assignment]


def has_split_batch_norm(model: nn.Module) -> bool:
    """Return True if the batch norms of the model work in groups."""
    return any(isinstance(module, tuple(SPLIT_FORMS.values())) for module in model.modules())
