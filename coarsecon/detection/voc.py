"""Pascal VOC format: a folder with `ImageSets/Main/SPLIT.txt`, `Annotations/NAME.xml` and `JPEGImages/NAME.jpg`."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from coarsecon.data.formats.names import canonical
from coarsecon.detection.samples import Annotated, DetectionSet, Instance, clipped, file_in, image_size
from coarsecon.errors import InputError

MAX_BYTES = 8_000_000
"""Maximum size of the annotation of one image."""

EDGES = ("xmin", "ymin", "xmax", "ymax")


def voc_folders(path: Path) -> list[Path]:
    """Return the folders in VOC format at `path`: itself, or those in it or in its VOCdevkit, sorted by name."""
    for place in (path, path / "VOCdevkit"):
        if _is_voc(place):
            return [place]
        if found := [below for below in sorted(place.glob("VOC*")) if _is_voc(below)]:
            return found
    return []


def _is_voc(path: Path) -> bool:
    return (path / "ImageSets" / "Main").is_dir() and (path / "Annotations").is_dir()


def has_split(folder: Path, split: str) -> bool:
    """Return True if a folder in VOC format has this list of images; 2012 has no public test."""
    return _list_of(folder, split).is_file()


def read_voc(folder: Path, split: str) -> DetectionSet:
    """Read the images of a split. Pixels of boxes count from 0 with an exclusive end; in the files they count from 1.

    Raises:
        InputError: Something is missing, malformed, or leads out of the folder.
    """
    path = _list_of(folder, split)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not a readable list of images ({error})") from None
    names = [line.split()[0] for line in lines if line.strip()]
    for name in names:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise InputError(path, f"{name!r} is not the name of an image")
    if not names:
        raise InputError(path, "names no image")
    return DetectionSet(str(path), [_read_image(folder, name) for name in names])


def _list_of(folder: Path, split: str) -> Path:
    if not re.fullmatch(r"\w+", split):
        raise InputError("data", f"{split!r} is not the name of a list in ImageSets/Main")
    return folder / "ImageSets" / "Main" / f"{split}.txt"


def _read_image(folder: Path, name: str) -> Annotated:
    path = folder / "Annotations" / f"{name}.xml"
    root = parse_xml(path)
    size = image_size(_number(root, "size/height", path), _number(root, "size/width", path), str(path))
    found = [_read_object(element, size, path) for element in root.iterfind("object")]
    image = file_in(folder / "JPEGImages", f"{name}.jpg", str(path))
    return Annotated(image, size, [each for each in found if each is not None])


def _read_object(element: Element, size: tuple[int, int], path: Path) -> Instance | None:
    name = canonical((element.findtext("name") or "").strip())
    if not name:
        raise InputError(path, "an object has no name")
    left, top, right, bottom = (_number(element, f"bndbox/{edge}", path) for edge in EDGES)
    box = clipped((left - 1, top - 1, right, bottom), size, f"{path}: {name}")
    is_difficult = (element.findtext("difficult") or "0").strip() == "1"
    return None if box is None else Instance(box, name, difficult=is_difficult)


def _number(element: Element, place: str, path: Path) -> float:
    text = (element.findtext(place) or "").strip()
    try:
        return float(text)
    except ValueError:
        raise InputError(path, f"{place} is {text!r}, which is no number") from None


class _WithoutDoctype(TreeBuilder):
    """Reject document types before their entities are read, which can grow without bound or name other files."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ParseError("it has a document type, which no annotation needs")


def parse_xml(path: Path) -> Element:
    """Parse an untrusted XML file and return its root element.

    Raises:
        InputError: It is missing, too long, malformed, or declares a document type.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(path, f"not a readable annotation ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise InputError(path, f"more than {MAX_BYTES:,} bytes are no annotation of one image")
    parser = XMLParser(target=_WithoutDoctype())
    try:
        parser.feed(content)
        return parser.close()
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise InputError(path, f"not a readable annotation ({error})") from None
