"""STL-10: 113,000 photos of 96 px, of which 13,000 are labeled with one of ten classes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from coarsecon.data.formats.archives import opened_tar
from coarsecon.data.sources import Chunked, Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.originals import Originals, check_size, find_originals
from coarsecon.errors import InputError

SIZE = 96
IMAGE_BYTES = 3 * SIZE * SIZE
PIECE = 1000
ORIGINALS = Originals(
    folder="stl10_binary",
    marker="class_names.txt",
    archives=("stl10_binary.tar.gz",),
    url="http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
    md5="91f7769df0f17e558f3565bffb0c7dfb",
)


@dataclass(frozen=True)
class Part:
    """A file of `count` images, and the file of their labels ("" without labels)."""

    images: str
    labels: str
    count: int


PARTS: Mapping[str, tuple[Part, ...]] = {
    "train": (Part("train_X.bin", "train_y.bin", 5_000), Part("unlabeled_X.bin", "", 100_000)),
    "test": (Part("test_X.bin", "test_y.bin", 8_000),),
}


class STL10(Source):
    """Read STL-10."""

    name = "stl10"
    about = """\
113,000 color photos of 96 px in 10 classes (fine labels only; -1 for unlabeled images): 5,000 labeled and 100,000
unlabeled images for training, 8,000 labeled images for testing.
Reads the folder stl10_binary or stl10_binary.tar.gz, which can be downloaded."""
    counts = {split: sum(part.count for part in parts) for split, parts in PARTS.items()}
    default_size = SIZE
    levels = {"fine": 10}
    url = "https://cs.stanford.edu/~acoates/stl10/"
    terms = "The images come from ImageNet, whose terms of access allow research and education, without commercial use."
    citation = "Coates, Lee, Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS 2011."
    disk = "2.6 GB packed, 3.1 GB prepared"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return STL-10 with ten fine classes; in `train` the unlabeled images follow the labeled ones."""
        check_size(request, SIZE)
        place = find_originals(ORIGINALS, request)
        small = _read_small(place)
        try:
            names = small["class_names.txt"].decode().split()
        except UnicodeDecodeError:
            names = []
        if len(names) != 10:
            raise InputError(place, "class_names.txt does not name 10 classes", ORIGINALS.again)
        splits = {}
        for split, parts in PARTS.items():
            fine = np.concatenate([_labels(part, small, place) for part in parts])
            splits[split] = SplitData({"fine": fine}, Chunked(len(fine), SIZE, partial(_pieces, place, parts)))
        return SourceData(self.name, SIZE, {"fine": names}, splits)


SOURCE = STL10()


def _read_small(place: Path) -> dict[str, bytes]:
    """Read class names and labels, and verify the sizes of the image files."""
    sizes = {part.images: part.count * IMAGE_BYTES for parts in PARTS.values() for part in parts}
    sizes |= {part.labels: part.count for parts in PARTS.values() for part in parts if part.labels}
    found = {}
    with _members(place) as members:
        for name, size, content in members:
            if name in sizes and size != sizes[name]:
                raise InputError(place, f"{name} has {size:,} bytes, not {sizes[name]:,}", ORIGINALS.again)
            if name in sizes or name == "class_names.txt":
                found[name] = b"" if name.endswith("_X.bin") else content.read(2**20)
    if missing := sorted({*sizes, "class_names.txt"} - found.keys()):
        raise InputError(place, f"{', '.join(missing)} missing", ORIGINALS.again)
    return found


def _labels(part: Part, small: Mapping[str, bytes], place: Path) -> np.ndarray:
    if not part.labels:
        return np.full(part.count, -1)
    labels = np.frombuffer(small[part.labels], np.uint8).astype(np.int64) - 1
    if not 0 <= labels.min() <= labels.max() < 10:
        raise InputError(place, f"{part.labels} goes beyond 1 to 10", ORIGINALS.again)
    return labels


def _pieces(place: Path, parts: tuple[Part, ...]) -> Iterator[np.ndarray]:
    """Yield the images, which are stored column by column, as uint8 [n, 3, 96, 96]."""
    for part in parts:
        with _members(place) as members:
            content = next((content for name, _, content in members if name == part.images), None)
            while content is not None and (piece := content.read(PIECE * IMAGE_BYTES)):
                columns = np.frombuffer(piece[: len(piece) // IMAGE_BYTES * IMAGE_BYTES], np.uint8)
                yield columns.reshape(-1, 3, SIZE, SIZE).swapaxes(2, 3)


@contextmanager
def _members(place: Path) -> Iterator[Iterator[tuple[str, int, IO[bytes]]]]:
    """Iterate over (name, size, content) of the files in a folder or archive, to be read one after the other."""
    if place.is_file():
        limit = max(part.count for parts in PARTS.values() for part in parts) * IMAGE_BYTES
        with opened_tar(place, limit=max(limit, 2**20)) as members:
            yield ((member.path.name, member.size, member.content) for member in members)
    else:
        try:
            yield _folder_members(place)
        except OSError as error:
            raise InputError(place, f"cannot be read ({error.strerror})") from error


def _folder_members(folder: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    for file in sorted(folder.iterdir()):
        if file.is_file():
            with file.open("rb") as content:
                yield file.name, file.stat().st_size, content
