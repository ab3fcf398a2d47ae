"""SimCLR: the views of an image attract each other, all others in the batch repel; needs no labels.

Chen et al., ICML 2020 (arXiv 2002.05709), with the settings of SupCon's published code.
"""

from pydantic import Field
from torch import Tensor

from coarsecon.config import Positive
from coarsecon.methods.in_batch import InBatchContrast, InBatchSettings


class SimCLR(InBatchContrast):
    """Self-supervised contrast: positives are the other views of the same image."""

    needs_labels = False

    class Config(InBatchSettings):
        """Settings of SimCLR."""

        temperature: Positive = Field(0.5, description="Temperature of the logits.")

    def positives(self, labels: Tensor) -> Tensor | None:
        """Return None: labels are not used."""
        return None
