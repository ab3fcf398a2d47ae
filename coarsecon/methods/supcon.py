"""SupCon: all views of all images of a coarse class attract each other within the batch.

Khosla et al., NeurIPS 2020 (arXiv 2004.11362). With `data.labels: fine` it is the upper bound that fine labels
would give.
"""

from torch import Tensor

from coarsecon.methods.in_batch import InBatchContrast, InBatchSettings


class SupCon(InBatchContrast):
    """Supervised contrast: positives are the images of the same label."""

    min_classes = 2
    compares_class_in_batch = True

    class Config(InBatchSettings):
        """Settings of SupCon."""

    def positives(self, labels: Tensor) -> Tensor | None:
        """Return the training labels."""
        return labels
