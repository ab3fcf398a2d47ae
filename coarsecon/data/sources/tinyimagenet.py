"""Tiny ImageNet: 110,000 photos of 200 classes of ImageNet, 64 px."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coarsecon.data.formats.archives import list_files, read_lines
from coarsecon.data.formats.images import ImageFile
from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.originals import Originals, find_originals
from coarsecon.errors import InputError

CLASSES = 200
ORIGINALS = Originals(
    folder="tiny-imagenet-200",
    marker="wnids.txt",
    archives=("tiny-imagenet-200.zip",),
    url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    md5="90528d7ca1a48142e341f4ef8d21d0de",
)


class TinyImageNet(Source):
    """Read Tiny ImageNet."""

    name = "tinyimagenet"
    about = """\
110,000 color photos of 64 px in 200 classes (fine labels only). The test split is the published validation set.
Reads the folder tiny-imagenet-200 or its zip archive, which can be downloaded."""
    counts = {"train": 100_000, "test": 10_000}
    default_size = 64
    levels = {"fine": CLASSES}
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    terms = "The images come from ImageNet, whose terms of access allow research and education, without commercial use."
    citation = "Le & Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015."
    disk = "250 MB packed, 1.4 GB prepared"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return Tiny ImageNet with fine classes in the order of their WNIDs; `test` is its validation set."""
        place = find_originals(ORIGINALS, request)
        files = list_files(place, ORIGINALS.folder)
        wnids = sorted(set(read_lines(place, files, "wnids.txt")))
        if len(wnids) != CLASSES:
            raise InputError(place, f"wnids.txt does not list {CLASSES} classes", ORIGINALS.again)
        number_of = {wnid: number for number, wnid in enumerate(wnids)}
        splits = {}
        for split, listed in (("train", _train(files)), ("test", _validation(place, files))):
            if len(listed) != self.counts[split]:
                raise InputError(place, f"{len(listed)} {split} images, not {self.counts[split]}", ORIGINALS.again)
            for path, wnid in listed.items():
                if wnid not in number_of:
                    raise InputError(
                        place, f"{path} has the class {wnid!a}, which is not in wnids.txt", ORIGINALS.again
                    )
            fine = np.array([number_of[wnid] for wnid in listed.values()])
            splits[split] = SplitData({"fine": fine}, [files[path] for path in listed], list(listed))
        words = _words(read_lines(place, files, "words.txt"))
        levels = {"fine": [words.get(wnid, wnid) for wnid in wnids]}
        return SourceData(self.name, request.size or self.default_size, levels, splits)


SOURCE = TinyImageNet()


def _train(files: Mapping[str, ImageFile]) -> dict[str, str]:
    """Return the WNID of each image train/WNID/images/NAME.JPEG."""
    parts = [path.split("/") for path in sorted(files) if path.startswith("train/") and path.endswith(".JPEG")]
    return {"/".join(part): part[1] for part in parts if len(part) == 4}


def _validation(place: Path, files: Mapping[str, ImageFile]) -> dict[str, str]:
    """Return the WNID of each image val/images/NAME.JPEG: the second column of the annotations."""
    listed = {}
    for number, line in enumerate(read_lines(place, files, "val/val_annotations.txt"), 1):
        name, _, rest = line.partition("\t")
        path = f"val/images/{name}"
        if path not in files:
            raise InputError(place, f"val_annotations.txt, line {number}: there is no image {path!a}", ORIGINALS.again)
        listed[path] = rest.partition("\t")[0]
    return listed


def _words(lines: list[str]) -> dict[str, str]:
    """Return the words of each WNID, which follow a tab."""
    return {wnid: words for wnid, tab, words in (line.partition("\t") for line in lines) if tab}
