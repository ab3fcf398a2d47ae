"""ImageNet at 32 px: the downsampled images of Chrabaszcz et al., as pickles or npz files."""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coarsecon.data.formats.archives import MAX_FILE_BYTES
from coarsecon.data.formats.pickles import as_array, read_dict
from coarsecon.data.sources import Chunked, Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.ilsvrc import ilsvrc_classes
from coarsecon.data.sources.labels import read_table
from coarsecon.data.sources.originals import check_size
from coarsecon.errors import InputError

SIZE = 32
FILES = {"train": tuple(f"train_data_batch_{number}" for number in range(1, 11)), "test": ("val_data",)}
FOLDERS = (".", "Imagenet32_train", "Imagenet32_val", "Imagenet32_train_npz", "Imagenet32_val_npz")
URL = "https://image-net.org/download-images.php"
AGAIN = "download the files again"


class ImageNet32(Source):
    """Read ImageNet at 32 px."""

    name = "imagenet32"
    about = """\
ImageNet's 1,000 classes (fine) in the 12 groups of MaskCon (coarse), at 32 px; in the class order of ILSVRC, which
differs from that of the files.
Reads train_data_batch_1 to 10 and val_data, or the same as .npz, or the folders that the archives unpack to
(Imagenet32_train, Imagenet32_val, Imagenet32_train_npz, Imagenet32_val_npz). The validation images are the test split
here."""
    counts = {"train": 1_281_167, "test": 50_000}
    default_size = SIZE
    levels = {"coarse": 12, "fine": 1000}
    url = URL
    terms = "Non-commercial research and education, after registration at image-net.org; the images are their owners'."
    citation = (
        "Chrabaszcz et al., A Downsampled Variant of ImageNet, 2017. The coarse groups: Feng & Patras, CVPR 2023."
    )
    disk = "4 GB of original files, 4.1 GB prepared; 2 GB of memory"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return ImageNet32 in the class order of ILSVRC, with the 12 coarse classes of MaskCon.

        One batch of 128,000 images is in memory at a time, first for its labels, then for its images.

        Raises:
            InputError: Files are missing or differ from the published ones.
        """
        check_size(request, SIZE)
        if request.source is None:
            raise InputError("source", "missing", f"name the folder with train_data_batch_1 to 10 and val_data ({URL})")
        coarse_names, classes = ilsvrc_classes()
        coarse = np.array([fine.coarse for fine in classes])
        to_fine = np.empty(len(classes), np.int64)
        for row in read_table("imagenet"):
            to_fine[int(row["devkit_id"]) - 1] = int(row["fine"])
        splits = {}
        for split, names in FILES.items():
            files = [_find(request.source, name) for name in names]
            with request.reporter.progress(f"reading {split} labels", len(files), unit="files") as progress:
                labels = []
                for file in files:
                    labels.append(_read(file)[1])
                    progress.advance()
            fine = to_fine[np.concatenate(labels) - 1]
            if len(fine) != self.counts[split]:
                raise InputError(request.source, f"{len(fine):,} {split} images, not {self.counts[split]:,}", AGAIN)
            images = Chunked(len(fine), SIZE, partial(_pieces, files))
            splits[split] = SplitData({"coarse": coarse[fine], "fine": fine}, images)
        levels = {"coarse": coarse_names, "fine": [fine.name for fine in classes]}
        return SourceData(self.name, SIZE, levels, splits, "The test split is made of ILSVRC's validation images.")


SOURCE = ImageNet32()


def _find(source: Path, name: str) -> Path:
    for folder in FOLDERS:
        for file in (source / folder / name, source / folder / f"{name}.npz"):
            if file.is_file():
                return file
    packed = next(source.glob("Imagenet32_*.zip"), None)
    remedy = f"unpack {packed.name} there" if packed else f"get it from {URL}"
    raise InputError(source, f"{name} (or {name}.npz) is missing", remedy)


def _pieces(files: list[Path]) -> Iterator[np.ndarray]:
    for file in files:
        yield _read(file)[0]


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the images uint8 [n, 3, 32, 32] and labels [n], 1 to 1000, of a batch."""
    batch = _load_npz(file) if file.suffix == ".npz" else read_dict(file, max_bytes=MAX_FILE_BYTES)
    images, labels = as_array(batch.get("data")), as_array(batch.get("labels"))
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3 * SIZE * SIZE:
        raise InputError(file, f"data is not a uint8 array [N, {3 * SIZE * SIZE}]", AGAIN)
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise InputError(file, f"labels is not a list of {len(images)} numbers", AGAIN)
    if len(labels) and not 1 <= labels.min() <= labels.max() <= 1000:
        raise InputError(file, "labels go beyond 1 to 1000", AGAIN)
    return images.reshape(-1, 3, SIZE, SIZE), labels.astype(np.int64)


def _load_npz(file: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_FILE_BYTES:
                raise InputError(file, "larger than any original file once unpacked", AGAIN)
        with np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in ("data", "labels") if key in arrays}
    except InputError:
        raise
    except Exception as error:  # a broken archive can raise anything
        raise InputError(file, f"not a complete npz file of plain arrays ({error})", AGAIN) from error
