"""ImageNet-100: 100 classes of ILSVRC 2012, in 12 coarse groups."""

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest
from coarsecon.data.sources.ilsvrc import CITATION, READS, SIZE, TERMS, URL, Part, ilsvrc_classes, read_ilsvrc
from coarsecon.data.sources.labels import read_table
from coarsecon.errors import InputError

TRAIN_TOTAL = 126_689


class ImageNet100(Source):
    """Read ImageNet-100."""

    name = "imagenet100"
    about = f"""\
ImageNet-100: the 100 classes of ImageNet (fine) often used in contrastive learning, in the 12 groups of MaskCon
(coarse). Only their class folders are needed.
{READS}"""
    counts = {"train": TRAIN_TOTAL, "test": 5_000}
    default_size = SIZE
    levels = {"coarse": 12, "fine": 100}
    url = URL
    terms = TERMS
    citation = f"{CITATION} The 100 classes: Tian et al., Contrastive Multiview Coding, ECCV 2020."
    disk = "14 GB of original files; about 9 GB prepared for 224 px"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return the 100 classes in the order of their WNIDs, and the 12 coarse classes of MaskCon."""
        wnids = {row["wnid"] for row in read_table("imagenet100")}
        coarse_names, classes = ilsvrc_classes(wnids)
        data = read_ilsvrc(request, self.name, coarse_names, classes, {
            "train": Part("train", wnids), "test": Part("val", wnids),
        })  # fmt: skip
        total = len(data.splits["train"].images)
        if total != TRAIN_TOTAL:
            raise InputError(request.source, f"{total:,} training images of the 100 classes, not {TRAIN_TOTAL:,}")
        return data


SOURCE = ImageNet100()
