"""Stanford Online Products in MaskCon's two splits: photos of products (fine) of 12 kinds (coarse)."""

from collections.abc import Mapping

import numpy as np

from coarsecon.data.formats.archives import list_files
from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.labels import class_names, read_table
from coarsecon.data.sources.originals import Originals, find_originals
from coarsecon.errors import InputError

ORIGINALS = Originals(
    folder="Stanford_Online_Products",
    marker="bicycle_final",
    archives=("Stanford_Online_Products.zip",),
    by_hand=(
        "download Stanford_Online_Products.zip (3.1 GB) manually from https://cvgl.stanford.edu/projects/lifted_struct/"
    ),
)


class OnlineProducts(Source):
    """Read one of the two splits; the label table of its name lists its images."""

    url = "https://cvgl.stanford.edu/projects/lifted_struct/"
    terms = "See the file LICENSE in the archive; the photos come from offers on eBay."
    citation = (
        "Oh Song, Xiang, Jegelka, Savarese, Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016. "
        "The split: Feng & Patras, MaskCon, CVPR 2023."
    )

    def __init__(self, name: str, about: str, counts: Mapping[str, int], fine: int, disk: str) -> None:
        self.name, self.counts, self.disk = name, counts, disk
        self.about = (
            f"{about}\nReads the folder Stanford_Online_Products (12 folders such as bicycle_final) or its zip."
        )
        self.levels = {"coarse": 12, "fine": fine}

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return the images of the split in the published order."""
        rows = read_table(self.name)
        place = find_originals(ORIGINALS, request)
        files = list_files(place, ORIGINALS.folder)
        splits, expected = {}, 0
        missing: list[str] = []
        for split in ("train", "test"):
            listed = [(path, row) for row in rows if row["split"] == split for path in _paths(row)]
            expected += len(listed)
            missing += [path for path, _ in listed if path not in files]
            labels = {level: np.array([int(row[level]) for _, row in listed]) for level in ("coarse", "fine")}
            images = [files[path] for path, _ in listed if path in files]
            splits[split] = SplitData(labels, images, [path for path, _ in listed])
        if missing:
            problem = f"{len(missing):,} of {expected:,} images are missing, such as {missing[0]}"
            raise InputError(place, problem, ORIGINALS.by_hand)
        return SourceData(self.name, request.size or self.default_size, _levels(rows), splits)


def _paths(row: Mapping[str, str]) -> list[str]:
    folder = row["coarse_name"].replace(" ", "_")
    return [f"{folder}_final/{row['fine_name']}_{number}.JPG" for number in row["images"].split()]


def _levels(rows: list[dict[str, str]]) -> dict[str, list[str]]:
    """Return the class names of each level; the fine ones are `KIND NUMBER`."""
    fine = {int(row["fine"]): f"{row['coarse_name']} {row['fine_name']}" for row in rows}
    return {"coarse": class_names(rows), "fine": [fine[i] for i in sorted(fine)]}


SPLIT1 = OnlineProducts(
    "sop-split1",
    "Products with 8 to 12 photos each. One half of the products is for training, the other half for testing.",
    {"train": 25_368, "test": 25_278},
    5035,
    "3.1 GB packed, about 2 GB prepared at 224 px",
)
SPLIT2 = OnlineProducts(
    "sop-split2",
    "Products with 12 photos each: 10 for training and 2 for testing.",
    {"train": 14_980, "test": 2_996},
    1498,
    "3.1 GB packed, about 0.7 GB prepared at 224 px",
)
