"""Your own images: a tree of class folders, or a table of paths and labels."""

from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np

from coarsecon.data.listing import LAYOUT, ListedImage, list_table, list_tree
from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData
from coarsecon.errors import InputError


def read(request: SourceRequest) -> SourceData:
    """The images of the folder `request.source` or the table `request.table`; an unknown fine label is -1."""
    root, images = _list(request)
    place = request.table or root
    if not images:
        raise InputError(f"{place}: no images; expected {LAYOUT}")
    splits = sorted({image.split for image in images}, key=lambda split: (split != "train", split))
    if splits[0] != "train":
        raise InputError(f"{place}: no image is in the split train, only in {', '.join(splits)}")
    coarse, fine = _class_numbers(images)
    return SourceData(
        name=root.resolve().name,
        size=request.size or SOURCE.default_size,
        levels={"coarse": list(coarse), "fine": _fine_names(fine)} if fine else {"coarse": list(coarse)},
        splits={split: _select(images, split, root, coarse, fine) for split in splits},
        notes="All images are in the split train: no other was named." if len(splits) == 1 else "",
    )


def _list(request: SourceRequest) -> tuple[Path, list[ListedImage]]:
    """The folder the paths are relative to, and the images."""
    if request.table is not None:
        root = request.source or request.table.parent
        return root, list_table(request.table, root)
    if request.source is None:
        raise InputError("give a folder of images with --source, or a table of them with --table")
    if not request.source.is_dir():
        raise InputError(f"{request.source}: no such folder; --source takes a folder, --table a CSV or Parquet file")
    images, others = list_tree(request.source)
    if others:
        request.reporter.info(f"left out {len(others)} files that are no images, such as {others[0]}")
    return request.source, images


def _class_numbers(images: list[ListedImage]) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """The numbers of the coarse classes, and of the fine ones by their coarse class and own name."""
    coarse = sorted({image.coarse for image in images})
    fine = sorted({(image.coarse, image.fine) for image in images if image.fine})
    return dict(zip(coarse, count())), dict(zip(fine, count()))


def _fine_names(fine: dict[tuple[str, str], int]) -> list[str]:
    """The names of the fine classes; those that stand under two coarse classes become coarse/fine."""
    uses = Counter(name for _, name in fine)
    return [f"{coarse}/{name}" if uses[name] > 1 else name for coarse, name in fine]


def _select(
    images: list[ListedImage],
    split: str,
    root: Path,
    coarse: dict[str, int],
    fine: dict[tuple[str, str], int],
) -> SplitData:
    chosen = [image for image in images if image.split == split]
    labels = {"coarse": np.array([coarse[image.coarse] for image in chosen])}
    if fine:
        labels["fine"] = np.array([fine.get((image.coarse, image.fine), -1) for image in chosen])
    return SplitData(labels, [root / image.path for image in chosen], [image.path for image in chosen])


SOURCE = Source(
    name="folder",
    about="""\
Your own images: in class folders coarse/image or coarse/fine/image (--source), if need be under train/,
val/ and test/; or in a table (--table, CSV or Parquet) with columns path, coarse and maybe fine and split,
its paths relative to the table or to --source. Fine labels may be absent, for single images too; without
splits all images are train. Up to --size 64 images become squares of that size, above it copies little
larger than needed.""",
    counts={},
    default_size=224,
    read=read,
    terms="Your own.",
    disk="prepared about 40 KB an image of 224 px, 12 KB of 64 px",
    options=("table",),
)
