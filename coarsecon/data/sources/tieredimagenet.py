"""tieredImageNet: 608 classes of ILSVRC 2012 in 34 superclasses, disjoint across splits, 84 px."""

from pathlib import Path

import numpy as np

from coarsecon.data.formats.images import ImageFile
from coarsecon.data.formats.pickles import as_array, as_text, read_dict, stored_strings
from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.ilsvrc import label
from coarsecon.data.sources.labels import class_names, read_table
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter

SIZE = 84
MAX_LABEL_BYTES = 2**26
PNG = b"\x89PNG\r\n\x1a\n"
URL = "https://github.com/renmengye/few-shot-ssl-public"
AGAIN = "download the files again"


class TieredImageNet(Source):
    """Read tieredImageNet."""

    name = "tieredimagenet"
    about = """\
tieredImageNet: 608 classes of ImageNet (fine) under 34 superclasses (coarse: 20 in train, 6 in val, 8 in test), 84 px.
Reads {train,val,test}_images_png.pkl and _labels.pkl. The images are read in place; the pickles are never loaded.
Superclasses come from the published lists of classes: most of the labels label_general in the pickles are wrong."""
    counts = {"train": 448_695, "val": 124_261, "test": 206_209}
    default_size = SIZE
    levels = {"coarse": 34, "fine": 608}
    url = URL
    terms = "Those of ImageNet: non-commercial research and education; the images are their owners'."
    citation = "Ren et al., Meta-Learning for Semi-Supervised Few-Shot Classification, ICLR 2018."
    disk = "13 GB of original files, 9 GB prepared"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return the three splits, whose classes are disjoint. Images are read from the pickles as needed.

        Classes are identified by their names in the pickles (their numbers are unordered), superclasses by the label
        table `tieredimagenet`: `label_general` is wrong for most images.

        Raises:
            InputError: Files are missing or differ from the published ones.
        """
        if request.source is None or not request.source.is_dir():
            problem = "missing" if request.source is None else "no such folder"
            hint = f"name the folder with train_images_png.pkl, train_labels.pkl and the others ({URL})"
            raise InputError(request.source or "source", problem, hint)
        rows = read_table("tieredimagenet")
        levels = {
            "coarse": class_names(rows),
            "fine": [label(row["wnid"], row["fine_name"]) for row in rows],
        }
        splits = {
            split: _read_split(request.source, split, rows, count, request.reporter)
            for split, count in self.counts.items()
        }
        return SourceData(
            self.name, request.size or SIZE, levels, splits, "No class is in two splits, neither fine nor coarse."
        )


SOURCE = TieredImageNet()


def _read_split(source: Path, split: str, rows: list[dict[str, str]], count: int, reporter: Reporter) -> SplitData:
    of_name = {row["fine_name"]: row for row in rows if row["split"] == split}
    classes, numbers = _read_labels(source / f"{split}_labels.pkl", list(of_name), count)
    fine = np.array([int(of_name[name]["fine"]) for name in classes])[numbers]
    coarse = np.array([int(of_name[name]["coarse"]) for name in classes])[numbers]
    wnids = [of_name[name]["wnid"] for name in classes]
    names = [f"{wnids[number]}/{split}-{place:06d}" for place, number in enumerate(numbers)]
    images: list[ImageFile] = []
    file = source / f"{split}_images_png.pkl"
    with reporter.progress(f"indexing {split}", len(fine)) as progress:
        for image in stored_strings(file, PNG):
            images.append(image)
            progress.advance()
    if len(images) != len(fine):
        raise InputError(file, f"{len(images):,} PNG images, not {len(fine):,}", AGAIN)
    return SplitData({"coarse": coarse, "fine": fine}, images, names)


def _read_labels(file: Path, published: list[str], count: int) -> tuple[list[str], np.ndarray]:
    """Return the class names in the order of the file, and the index of the class of each image, int64 [N]."""
    content = read_dict(file, max_bytes=MAX_LABEL_BYTES)
    numbers = as_array(content.get("label_specific"))
    names = content.get("label_specific_str")
    classes = [as_text(name) for name in names] if isinstance(names, list) else []
    if sorted(classes) != sorted(published):
        other = f", such as {min(set(classes) - set(published))}" if set(classes) - set(published) else ""
        raise InputError(
            file, f"label_specific_str differs from the {len(published)} published class names{other}", AGAIN
        )
    if numbers.dtype.kind not in "iu" or numbers.shape != (count,):
        raise InputError(file, f"label_specific is not a list of {count:,} numbers", AGAIN)
    if not 0 <= numbers.min() <= numbers.max() < len(classes):
        raise InputError(file, f"label_specific goes beyond 0 to {len(classes) - 1}", AGAIN)
    return classes, numbers.astype(np.int64)
