"""Which features of a run are meant, and where and how they are computed."""

from dataclasses import dataclass, field

from coarsecon.config import Checkpoint, FeatureLayer
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.progress import Reporter


@dataclass(frozen=True)
class FeatureSpec:
    """Features of one checkpoint at one layer; with `flip` averaged with those of the mirror image."""

    checkpoint: Checkpoint = "last"
    layer: FeatureLayer = "backbone"
    flip: bool = False


@dataclass(frozen=True)
class Runtime:
    """Where a run is evaluated: the device, the processes that decode images, and who is told about progress.

    Several ranks extract features together; all of them must then ask for the same.
    """

    device: str = "auto"
    workers: int = 2
    reporter: Reporter = field(default_factory=Reporter)
    distributed: Distributed = field(default_factory=Distributed)
