"""The choice of features of a run, and the device and processes that compute them."""

from dataclasses import dataclass, field

from coarsecon.config import Checkpoint, FeatureLayer
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.progress import Reporter


@dataclass(frozen=True)
class FeatureSpec:
    """Features of one checkpoint at one layer, with `flip` averaged with those of the mirror image."""

    checkpoint: Checkpoint = "last"
    layer: FeatureLayer = "backbone"
    flip: bool = False


@dataclass(frozen=True)
class Runtime:
    """The device that evaluates a run, the processes that decode images, and the receiver of progress.

    Several ranks extract features together; all of them must then ask for the same.
    """

    device: str = "auto"
    workers: int = 2
    reporter: Reporter = field(default_factory=Reporter)
    distributed: Distributed = field(default_factory=Distributed)
