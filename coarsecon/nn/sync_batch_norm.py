"""Batch norm with the statistics of the global batch over all ranks.

Unlike torch's `SyncBatchNorm`, it runs on CPUs too, and replaces every batch norm of timm.
"""

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.losses.precision import to_float32
from coarsecon.nn.freezing import FixedStatistics
from coarsecon.runtime.distributed import Distributed


class _Synchronized(nn.modules.batchnorm._BatchNorm):
    distributed: Distributed

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, ...]."""
        return normalize_together(self, x) if self.training else super().forward(x)


class SyncBatchNorm1d(_Synchronized, nn.BatchNorm1d):
    """Synchronized batch norm of [N, C]."""


class SyncBatchNorm2d(_Synchronized, nn.BatchNorm2d):
    """Synchronized batch norm of [N, C, H, W]."""


class SyncBatchNormAct2d(BatchNormAct2d):
    """Synchronized form of timm's batch norm with dropout and activation."""

    distributed: Distributed

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, H, W]."""
        if not self.training:
            evaluated: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return evaluated
        activated: Tensor = self.act(self.drop(normalize_together(self, x)))
        return activated


SYNC_FORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SyncBatchNorm1d,
    nn.BatchNorm2d: SyncBatchNorm2d,
    BatchNormAct2d: SyncBatchNormAct2d,
}


def normalize_together(norm: _Synchronized | SyncBatchNormAct2d, x: Tensor) -> Tensor:
    """Apply training-mode batch norm to x [N, C, ...] by mean and variance over all ranks, which have equal N."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    others = [dim for dim in range(x.ndim) if dim != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    values = to_float32(x)
    own_var, own_mean = torch.var_mean(values, others, correction=0)
    stacked = norm.distributed.gather_with_gradient(torch.stack([own_mean, own_var])[None])  # [ranks, 2, C]
    mean = stacked[:, 0].mean(0)
    var = stacked[:, 1].mean(0) + (stacked[:, 0] - mean).square().mean(0)
    with torch.no_grad():
        count = len(stacked) * x.numel() // x.shape[1]
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(var * count / max(count - 1, 1), norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    scale = (var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
    shift = -mean * scale + (0 if norm.bias is None else norm.bias)
    return (values * scale.view(shape) + shift.view(shape)).to(x.dtype)


def synchronize_batch_norm(model: nn.Module, distributed: Distributed) -> None:
    """Replace every batch norm of `model` by one over all ranks, in place; weights keep names and shapes.

    Raises:
        InputError: A batch norm cannot be synchronized.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, FixedStatistics)
    ]
    unknown = {type(norm).__name__ for norm in norms if type(norm) not in SYNC_FORMS}
    if unknown:
        raise InputError(
            "run.batch_norm",
            f"{', '.join(sorted(unknown))} cannot be synchronized",
            "use local or shuffle, or set backbone.batch_norm_splits to 1",
        )
    for norm in norms:
        norm.__class__ = SYNC_FORMS[type(norm)]  # type: ignore[assignment]
        norm.distributed = distributed  # type: ignore[assignment]
