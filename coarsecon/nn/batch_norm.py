"""Batch norm over virtual groups of the batch, as if each group were on a device of its own.

With one set of statistics over the whole batch, queries and keys can recognize each other by it (He et al., CVPR
2020, Sec. 3.3). Shuffling the batch changes nothing about that on one device; splitting it does (ASCL: 8 groups).
"""

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from coarsecon.errors import InputError


class SplitBatchNorm2d(nn.BatchNorm2d):
    """In training, each of `splits` groups of consecutive samples is normalised by its own statistics."""

    splits: int

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same."""
        return normalize_in_groups(self, x) if self.training else super().forward(x)


class SplitBatchNormAct2d(BatchNormAct2d):
    """The same for timm's batch norm that is followed by dropout and activation."""

    splits: int

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same."""
        activated: Tensor = self.act(self.drop(normalize_in_groups(self, x))) if self.training else super().forward(x)  # type: ignore[no-untyped-call]
        return activated


SPLIT_FORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: SplitBatchNorm2d,
    BatchNormAct2d: SplitBatchNormAct2d,
}


def normalize_in_groups(norm: SplitBatchNorm2d | SplitBatchNormAct2d, x: Tensor) -> Tensor:
    """Training-mode batch norm of `norm.splits` nearly equal groups of x [N, C, H, W].

    Running statistics keep their usual shape [C] and move to the mean over the groups, so that the weights are those
    of the plain network, and evaluation knows nothing of the splits.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    groups = x.tensor_split(min(norm.splits, len(x)))
    means = norm.running_mean.repeat(len(groups), 1)
    variances = norm.running_var.repeat(len(groups), 1)
    normalised = [
        F.batch_norm(group, mean, variance, norm.weight, norm.bias, True, norm.momentum, norm.eps)
        for group, mean, variance in zip(groups, means, variances, strict=True)
    ]
    with torch.no_grad():
        norm.running_mean.copy_(means.mean(0))
        norm.running_var.copy_(variances.mean(0))
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    return torch.cat(normalised)


def split_batch_norm(model: nn.Module, splits: int) -> None:
    """Let every batch norm of the model work in `splits` groups; its weights and their names stay what they are.

    Raises:
        InputError: the model has no batch norm, or one of a kind that cannot be split.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    unknown = {type(norm).__name__ for norm in norms if type(norm) not in SPLIT_FORMS}
    if not norms or unknown:
        what = f"has {', '.join(sorted(unknown))}, which cannot be split" if unknown else "has no batch norm to split"
        raise InputError(f"backbone.batch_norm_splits: {type(model).__name__} {what}; leave it at 1")
    for norm in norms:
        norm.__class__ = SPLIT_FORMS[type(norm)]  # type: ignore[assignment]
        norm.splits = splits  # type: ignore[assignment]


def has_split_batch_norm(model: nn.Module) -> bool:
    """Whether the batch norms of the model work in groups, so that it matters which samples share one."""
    return any(isinstance(module, tuple(SPLIT_FORMS.values())) for module in model.modules())
