"""Read the class of each validation image of ILSVRC 2012 from any of the published annotations."""

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
    """Return the WNID of each image of `names` (without suffix), in their order, from annotations in `source`.

    Raises:
        InputError: There is no annotation, it is broken, or it lacks an image.
    """
    classes, place = _read(source, names)
    known = {row["wnid"] for row in read_table("imagenet")}
    for name in names:
        if classes.get(name) not in known:
            problem = f"no ILSVRC class for {name}" if name in classes else f"no class for {name}"
            raise InputError(place, problem, "download it again")
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
        "no annotations of the validation images",
        f"add {GROUND_TRUTH}, {DEVKIT}, {SOLUTION} or the XML files in {XML_FOLDERS[1]}",
    )


def _numbered(text: str, place: Path) -> dict[str, str]:
    """Read the ground truth of the devkit: line n is the devkit's id of the class of image n."""
    wnids = {row["devkit_id"]: row["wnid"] for row in read_table("imagenet")}
    classes = {}
    for number, line in enumerate(text.split(), start=1):
        if line not in wnids:
            raise InputError(place, f"line {number} is {line[:20]!r}, no id of 1 to {len(wnids)}", "download it again")
        classes[f"ILSVRC2012_val_{number:08d}"] = wnids[line]
    return classes


def _solution(file: Path) -> Iterator[tuple[str, str]]:
    """Read the table of the localization challenge: the image, then its boxes, each with a WNID."""
    for row in csv.DictReader(_text(file).splitlines()):
        wnid, *_ = (row.get("PredictionString") or "").split() or [""]
        yield row.get("ImageId") or "", wnid


def _xml(file: Path) -> str:
    """Read a file of boxes, all of which have the class of the image."""
    try:
        if file.stat().st_size > MAX_XML_BYTES:
            raise InputError(file, "larger than any annotation", "download it again")
        wnids = {(found.text or "").strip() for found in ET.parse(file).iterfind("object/name")}
    except (OSError, ET.ParseError, ValueError) as error:
        raise InputError(file, f"not a readable annotation ({error})", "download the annotations again") from error
    if len(wnids) != 1 or not re.fullmatch(r"n\d{8}", min(wnids)):
        raise InputError(file, f"it names {len(wnids)} classes, not one", "download the annotations again")
    return wnids.pop()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="latin1")
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})") from error
