"""COCO format: `annotations/instances_SPLIT.json`, and the images in a folder called SPLIT."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from coarsecon.data.formats.names import canonical
from coarsecon.detection.masks import read_segmentation
from coarsecon.detection.samples import Annotated, DetectionSet, Instance, Size, clipped, file_in, image_size
from coarsecon.errors import InputError

MAX_BYTES = 2**31
"""Maximum size of an annotation file; train2017 has 0.45 GB."""

Record = dict[str, Any]


def is_coco(path: Path) -> bool:
    """Return True if a folder is in COCO format."""
    return any((path / "annotations").glob("instances_*.json"))


def read_coco(folder: Path, split: str, *, masks: bool) -> DetectionSet:
    """Read the images of a split; with `masks`, with the masks of their objects. Boxes in the files are left, top,
    width, height.

    Raises:
        InputError: Something is missing, malformed, or leads out of the folder.
    """
    if not re.fullmatch(r"[\w-]+", split):
        raise InputError("data", f"{split!r} is not the name of a split, as train2017 is")
    path = folder / "annotations" / f"instances_{split}.json"
    content = _parse(path)
    names = {_integer(row, "id", path): canonical(_text(row, "name", path)) for row in content["categories"]}
    if len(set(names.values())) < len(content["categories"]):
        raise InputError(path, "two categories share an id or a name")
    rows: dict[int, list[Record]] = defaultdict(list)
    for row in content["annotations"]:
        rows[_integer(row, "image_id", path)].append(row)
    places = [folder / split, folder / "images" / split, folder / "images"]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise InputError(folder, f"no folder {split}, images/{split} or images with the images of {path.name}")
    images: dict[int, Annotated] = {}
    for row in content["images"]:
        number = _integer(row, "id", path)
        if number in images:
            raise InputError(path, f"two images have the id {number}")
        where = f"{path}, image {number}"
        size = image_size(_maybe_number(row.get("height")), _maybe_number(row.get("width")), where)
        found = [_instance(each, size, names, path, masks=masks) for each in rows.pop(number, ())]
        image = file_in(place, _text(row, "file_name", path), where)
        images[number] = Annotated(image, size, [each for each in found if each is not None])
    if rows:
        raise InputError(path, f"there are boxes of image {next(iter(rows))}, which is not among its images")
    if not images:
        raise InputError(path, "names no image")
    return DetectionSet(str(path), list(images.values()))


def _parse(path: Path) -> dict[str, list[Record]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(path, f"more than {MAX_BYTES:,} bytes are not read")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(path, f"not a readable file of annotations ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"not a readable file of annotations ({str(error)[:200]})") from None
    for part in ("images", "annotations", "categories"):
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(path, f"no list of {part} in it, which instances_*.json of COCO has")
    return content


def _instance(row: Record, size: Size, names: dict[int, str], path: Path, *, masks: bool) -> Instance | None:
    where = f"{path}, annotation {row.get('id')!r:.40}"
    category = _integer(row, "category_id", path)
    if category not in names:
        raise InputError(where, f"there is no category {category}")
    box = row.get("bbox")
    sides = [_maybe_number(side) for side in box] if isinstance(box, list) else []
    numbers = [side for side in sides if side is not None]
    if len(sides) != 4 or len(numbers) != 4:
        raise InputError(where, f"bbox is {box!s:.60}, not left, top, width and height")
    left, top, width, height = numbers
    inside = clipped((left, top, left + width, top + height), size, where)
    if inside is None:
        return None
    mask = read_segmentation(row.get("segmentation"), size, where) if masks else None
    return Instance(inside, names[category], crowd=bool(row.get("iscrowd", 0)), mask=mask)


def _maybe_number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9  # so no NaN
    return float(value) if is_number else None


def _integer(row: Record, key: str, path: Path) -> int:
    value = row.get(key)
    if type(value) is not int:
        raise InputError(path, f"{key} is {value!s:.60}, not an integer")
    return value


def _text(row: Record, key: str, path: Path) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(path, f"{key} is {value!s:.60}, not a string")
    return value
