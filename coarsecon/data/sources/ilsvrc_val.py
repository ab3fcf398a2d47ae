"""Which class each validation image of ILSVRC 2012 shows, by any of the annotations it was published with."""

import csv
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from coarsecon.data.formats.archives import read_files
from coarsecon.data.sources.labels import read_table
from coarsecon.errors import InputError

GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
SOLUTION = "LOC_val_solution.csv"
XML_FOLDERS = (
    "ILSVRC/Annotations/CLS-LOC/val", "Annotations/CLS-LOC/val", "ILSVRC2012_bbox_val_v3/val", "bbox/val", "val",
)  # fmt: skip
MAX_XML_BYTES = 2**20


def read_val_classes(source: Path, names: Sequence[str]) -> dict[str, str]:
    """The WNID of each image of `names` (without suffix), in their order, from what lies in the folder `source`.

    Raises:
        InputError: there is no annotation, it is broken, or it lacks an image.
    """
    classes, place = _read(source, names)
    known = {row["wnid"] for row in read_table("imagenet")}
    for name in names:
        if classes.get(name) not in known:
            problem = f"names no ILSVRC class for {name}" if name in classes else f"does not tell the class of {name}"
            raise InputError(place, f"it {problem}", "fetch it again")
    return {name: classes[name] for name in names}


def _read(source: Path, names: Sequence[str]) -> tuple[dict[str, str], Path]:
    for folder in (source, source / "data", source / "ILSVRC2012_devkit_t12" / "data"):
        if (folder / GROUND_TRUTH).is_file():
            return _numbered(_text(folder / GROUND_TRUTH), folder / GROUND_TRUTH), folder / GROUND_TRUTH
    if (source / DEVKIT).is_file():
        content = read_files(source / DEVKIT, [GROUND_TRUTH])[GROUND_TRUTH]
        return _numbered(content.decode("latin1"), source / DEVKIT), source / DEVKIT
    if (source / SOLUTION).is_file():
        return dict(_solution(source / SOLUTION)), source / SOLUTION
    for folder in (source / place for place in XML_FOLDERS):
        if names and (folder / f"{names[0]}.xml").is_file():
            return {name: _xml(folder / f"{name}.xml") for name in names}, folder
    raise InputError(
        source,
        "the validation images lie in one heap, and nothing tells their classes",
        f"add {GROUND_TRUTH}, {DEVKIT}, {SOLUTION} or the XML files in {XML_FOLDERS[1]}",
    )


def _numbered(text: str, place: Path) -> dict[str, str]:
    """By the devkit's ground truth: line n is the devkit's id of the class of image n."""
    wnids = {row["devkit_id"]: row["wnid"] for row in read_table("imagenet")}
    classes = {}
    for number, line in enumerate(text.split(), start=1):
        if line not in wnids:
            raise InputError(place, f"line {number} is {line[:20]!r}, no id of 1 to {len(wnids)}", "fetch it again")
        classes[f"ILSVRC2012_val_{number:08d}"] = wnids[line]
    return classes


def _solution(file: Path) -> Iterator[tuple[str, str]]:
    """By the localisation challenge's table: the image, then its boxes, each with a WNID."""
    for row in csv.DictReader(_text(file).splitlines()):
        wnid, *_ = (row.get("PredictionString") or "").split() or [""]
        yield row.get("ImageId") or "", wnid


def _xml(file: Path) -> str:
    """By a file of boxes: all of them are of the image's class."""
    try:
        if file.stat().st_size > MAX_XML_BYTES:
            raise InputError(file, "larger than any annotation", "fetch it again")
        wnids = {(found.text or "").strip() for found in ET.parse(file).iterfind("object/name")}
    except (OSError, ET.ParseError, ValueError) as error:
        raise InputError(file, f"not a readable annotation ({error})", "fetch the annotations again") from error
    if len(wnids) != 1 or not re.fullmatch(r"n\d{8}", min(wnids)):
        raise InputError(file, f"it names {len(wnids)} classes, not one", "fetch the annotations again")
    return wnids.pop()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="latin1")
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})") from error
