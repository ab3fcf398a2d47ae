"""The losses: pure functions, tensors in, scalar out; they know neither devices nor ranks."""

from coarsecon.losses.momentum_contrast import coins_loss, grafit_loss, maskcon_loss, moco_loss

__all__ = ["coins_loss", "grafit_loss", "maskcon_loss", "moco_loss"]
