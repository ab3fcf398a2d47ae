"""Losses as pure functions: tensors in, scalar out, independent of devices and ranks."""

from coarsecon.losses.angular import ancor_loss
from coarsecon.losses.chunked import queue_logsumexp
from coarsecon.losses.class_conditional import class_conditional_infonce
from coarsecon.losses.in_batch import supcon_loss
from coarsecon.losses.masked_simclr import masked_simclr_loss
from coarsecon.losses.momentum_contrast import coins_loss, grafit_loss, maskcon_loss, moco_loss
from coarsecon.losses.neighbors import ascl_byol_loss, ascl_loss
from coarsecon.losses.precision import full_precision, l2_normalize

__all__ = [
    "ancor_loss",
    "ascl_byol_loss",
    "ascl_loss",
    "class_conditional_infonce",
    "coins_loss",
    "full_precision",
    "grafit_loss",
    "l2_normalize",
    "maskcon_loss",
    "masked_simclr_loss",
    "moco_loss",
    "queue_logsumexp",
    "supcon_loss",
]
