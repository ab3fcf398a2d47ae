"""Stanford Online Products in MaskCon's two splits: photos of products (fine) of 12 kinds (coarse)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coarsecon.data.formats.archives import list_files
from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.labels import read_table
from coarsecon.data.sources.originals import Originals, find_originals
from coarsecon.errors import InputError

ORIGINALS = Originals(
    folder="Stanford_Online_Products",
    marker="bicycle_final",
    archives=("Stanford_Online_Products.zip",),
    by_hand=(
        "fetch Stanford_Online_Products.zip (3.1 GB) by hand, from the page https://cvgl.stanford.edu/projects/lifted_struct/"
    ),
)


@dataclass(frozen=True)
class Listing:
    """One of the two splits: the label table `name` says which images make it up."""

    name: str

    def read(self, request: SourceRequest) -> SourceData:
        """The images of the split, in its published order; the numbers of fine classes mean the same everywhere."""
        rows = read_table(self.name)
        place = find_originals(ORIGINALS, request)
        files = list_files(place, ORIGINALS.folder)
        splits, wanted = {}, 0
        missing: list[str] = []
        for split in ("train", "test"):
            listed = [(path, row) for row in rows if row["split"] == split for path in _paths(row)]
            wanted += len(listed)
            missing += [path for path, _ in listed if path not in files]
            labels = {level: np.array([int(row[level]) for _, row in listed]) for level in ("coarse", "fine")}
            splits[split] = SplitData(
                labels, [files[path] for path, _ in listed if path in files], [path for path, _ in listed]
            )
        if missing:
            raise InputError(
                f"{place}: {len(missing):,} of {wanted:,} images missing, such as {missing[0]}; {ORIGINALS.by_hand}"
            )
        return SourceData(self.name, request.size or 224, _levels(rows), splits)

    def source(self, about: str, counts: Mapping[str, int], fine: int, disk: str) -> Source:
        """The source that reads this split."""
        return Source(
            name=self.name,
            about=f"{about}\nReads the folder Stanford_Online_Products (12 folders such as bicycle_final) or its zip.",
            counts=counts,
            default_size=224,
            read=self.read,
            levels={"coarse": 12, "fine": fine},
            url="https://cvgl.stanford.edu/projects/lifted_struct/",
            terms="See the file LICENSE in the archive; the photos come from offers on eBay.",
            citation=(
                "Oh Song, Xiang, Jegelka, Savarese, Deep Metric Learning via Lifted Structured Feature Embedding, "
                "CVPR 2016. The split: Feng & Patras, MaskCon, CVPR 2023."
            ),
            disk=disk,
        )


def _paths(row: Mapping[str, str]) -> list[str]:
    folder = row["coarse_name"].replace(" ", "_")
    return [f"{folder}_final/{row['fine_name']}_{number}.JPG" for number in row["images"].split()]


def _levels(rows: list[dict[str, str]]) -> dict[str, list[str]]:
    """The names of the classes by their numbers; a product's number gets its kind in front."""
    coarse = {int(row["coarse"]): row["coarse_name"] for row in rows}
    fine = {int(row["fine"]): f"{row['coarse_name']} {row['fine_name']}" for row in rows}
    return {"coarse": [coarse[i] for i in sorted(coarse)], "fine": [fine[i] for i in sorted(fine)]}


SPLIT1 = Listing("sop-split1").source(
    "Products with 8 to 12 photos each, one half of them to train and the other, never seen, to test.",
    {"train": 25_368, "test": 25_278},
    5035,
    "3.1 GB packed, about 2 GB prepared at 224 px",
)
SPLIT2 = Listing("sop-split2").source(
    "Products with 12 photos each, of which 10 to train and 2 to test.",
    {"train": 14_980, "test": 2_996},
    1498,
    "3.1 GB packed, about 0.7 GB prepared at 224 px",
)
