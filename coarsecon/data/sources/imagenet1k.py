"""ImageNet: the 1,000 classes of ILSVRC 2012, in 12 coarse groups."""

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest
from coarsecon.data.sources.ilsvrc import CITATION, READS, SIZE, TERMS, URL, Part, ilsvrc_classes, read_ilsvrc


class ImageNet1k(Source):
    """Read ILSVRC 2012."""

    name = "imagenet1k"
    about = f"ImageNet's 1,000 classes (fine) in the 12 groups of MaskCon (coarse).\n{READS}"
    counts = {"train": 1_281_167, "test": 50_000}
    default_size = SIZE
    levels = {"coarse": 12, "fine": 1000}
    url = URL
    terms = TERMS
    citation = f"{CITATION} The coarse groups: Feng & Patras, MaskCon, CVPR 2023."
    disk = "145 GB of original files; about 85 GB prepared for 224 px, 16 GB for 64 px"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return all of ILSVRC 2012, with the 12 coarse classes of MaskCon."""
        coarse_names, classes = ilsvrc_classes()
        wnids = [fine.wnid for fine in classes]
        parts = {"train": Part("train", wnids), "test": Part("val", wnids)}
        return read_ilsvrc(request, self.name, coarse_names, classes, parts)


SOURCE = ImageNet1k()
