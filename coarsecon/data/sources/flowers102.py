"""Oxford Flowers: 8,189 photos of 102 kinds of flowers, of various sizes."""

from pathlib import Path

import numpy as np

from coarsecon.data.formats.archives import list_files
from coarsecon.data.formats.mat import integers, load_mat
from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.download import download
from coarsecon.data.sources.labels import read_table
from coarsecon.data.sources.originals import original_home
from coarsecon.errors import InputError

URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
FOLDER, PACKED, LABELS, SETS = "flowers-102", "102flowers.tgz", "imagelabels.mat", "setid.mat"
MD5 = {
    PACKED: "52808999861908f626f3c1f4e79d11fa",
    LABELS: "e0620be6f572b9609742df49c70aed4d",
    SETS: "a5357ecc9cb78c4bef273ce3793fc85c",
}
VARIABLES = {"train": "trnid", "val": "valid", "test": "tstid"}
CLASSES = 102
AGAIN = "download the files again, or set download"


class Flowers102(Source):
    """Read Oxford Flowers."""

    name = "flowers102"
    about = """\
8,189 photos of at least 500 px in 102 kinds of flowers (fine labels only), in the splits of setid.mat: 10 images per
kind for training (trnid) and 10 for validation (valid), the others for testing (tstid).
Reads a folder with imagelabels.mat, setid.mat and jpg/ or 102flowers.tgz, all of which can be downloaded."""
    counts = {"train": 1_020, "val": 1_020, "test": 6_149}
    default_size = 224
    levels = {"fine": CLASSES}
    url = URL
    terms = (
        "The authors state no license; the photos were collected from the web and taken by the authors, for research."
    )
    citation = "Nilsback & Zisserman, Automated Flower Classification over a Large Number of Classes, ICVGIP 2008."
    disk = "345 MB packed, about 250 MB prepared at 224 px"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return Oxford Flowers with its kinds as fine labels, in the three sets of `setid.mat`."""
        folder = _find(request)
        labels = integers(load_mat(folder / LABELS, "labels")[0], f"{folder / LABELS}: labels")
        sets = dict(zip(self.counts, load_mat(folder / SETS, *VARIABLES.values()), strict=True))
        numbers = {split: integers(sets[split], f"{folder / SETS}: {VARIABLES[split]}") for split in self.counts}
        for split, count in self.counts.items():
            if len(numbers[split]) != count:
                raise InputError(folder / SETS, f"{len(numbers[split])} {split} images, not {count}", AGAIN)
        total = sum(self.counts.values())
        if sorted(np.concatenate(list(numbers.values())).tolist()) != list(range(1, total + 1)):
            raise InputError(folder / SETS, f"the sets do not partition the images 1 to {total}", AGAIN)
        if len(labels) != total or not 1 <= labels.min() <= labels.max() <= CLASSES:
            raise InputError(folder / LABELS, f"not {total} labels from 1 to {CLASSES}", AGAIN)
        place = folder / "jpg" if (folder / "jpg").is_dir() else folder / PACKED
        files = list_files(place, "jpg")
        splits = {}
        for split in self.counts:
            names = [f"image_{number:05d}.jpg" for number in numbers[split]]
            if missing := [name for name in names if name not in files]:
                raise InputError(place, f"{len(missing)} images missing, such as {missing[0]}", AGAIN)
            splits[split] = SplitData({"fine": labels[numbers[split] - 1] - 1}, [files[name] for name in names], names)
        levels = {"fine": [row["fine_name"] for row in read_table("flowers102")]}
        return SourceData(self.name, request.size or self.default_size, levels, splits)


SOURCE = Flowers102()


def _find(request: SourceRequest) -> Path:
    """Return the folder with the two label files and the photos, in jpg/ or packed."""
    wanted = f"{LABELS}, {SETS} and jpg/ or {PACKED}"
    if request.source is None and not request.download:
        raise InputError("source", "missing", f"name the folder with {wanted}, or set download")
    home = original_home(request)
    for folder in (home, home / FOLDER):
        has_photos = (folder / "jpg").is_dir() or (folder / PACKED).is_file()
        if has_photos and (folder / LABELS).is_file() and (folder / SETS).is_file():
            return folder
    if not request.download:
        raise InputError(home, f"does not contain all of {wanted}", AGAIN)
    for name, md5 in MD5.items():
        download(URL + name, home / FOLDER / name, md5=md5, reporter=request.reporter)
    return home / FOLDER
