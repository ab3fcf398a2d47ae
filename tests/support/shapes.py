"""Pictures of colored shapes with their boxes and masks, in VOC and in COCO format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("disc", "square")
COLOURS = {"disc": (220, 60, 40), "square": (40, 80, 220)}
SIDE = 64


def draw_shapes(rng: np.random.Generator, side: int = SIDE) -> tuple[Image.Image, list[dict[str, Any]]]:
    """A picture with one to three shapes that do not touch: each a name, a box (its last pixels in it), a polygon."""
    image = Image.fromarray(rng.integers(90, 160, (side, side, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    objects: list[dict[str, Any]] = []
    for _ in range(int(rng.integers(1, 4))):
        name, size = str(rng.choice(SHAPES)), int(rng.integers(side // 5, side // 2))
        left, top = (int(value) for value in rng.integers(1, side - size, 2))
        box = (left, top, left + size - 1, top + size - 1)
        if any(box[0] <= b[2] and b[0] <= box[2] and box[1] <= b[3] and b[1] <= box[3] for b in boxes(objects)):
            continue
        corners = [(box[0], box[1]), (box[2] + 1, box[1]), (box[2] + 1, box[3] + 1), (box[0], box[3] + 1)]
        if name == "disc":
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            corners = [(left + size / 2 * (1 + np.cos(a)), top + size / 2 * (1 + np.sin(a))) for a in angles]
        (draw.ellipse if name == "disc" else draw.rectangle)(box, fill=COLOURS[name])
        objects.append({"name": name, "box": box, "polygon": [float(x) for corner in corners for x in corner]})
    return image, objects


def boxes(objects: list[dict[str, Any]]) -> list[tuple[int, int, int, int]]:
    return [each["box"] for each in objects]


def write_voc(root: Path, splits: dict[str, int], *, year: int = 2007, seed: int = 0) -> Path:
    """`root/VOCyear` with so many pictures of each split; the folder is returned."""
    folder, rng = root / f"VOC{year}", np.random.default_rng(seed)
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for split, count in splits.items():
        names = [f"{split}_{number:06d}" for number in range(count)]
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            image, objects = draw_shapes(rng)
            image.save(folder / "JPEGImages" / f"{name}.jpg", quality=95)
            write_xml(folder, name, objects, image.size)
    return folder


def write_xml(folder: Path, name: str, objects: list[dict[str, Any]], size: tuple[int, int]) -> None:
    """The annotation of one picture; boxes in it begin at 1."""
    lines = [f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"]
    for each in objects:
        sides = zip(("xmin", "ymin", "xmax", "ymax"), (side + 1 for side in each["box"]), strict=True)
        box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
        difficult = int(each.get("difficult", False))
        lines.append(
            f"<object><name>{each['name']}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"
        )
    (folder / "Annotations" / f"{name}.xml").write_text("".join([*lines, "</annotation>"]))


def write_coco(root: Path, splits: dict[str, int], *, seed: int = 0) -> Path:
    """`root/coco` with so many pictures of each split, and one crowd of two columns of pixels in the first of each."""
    folder, rng = root / "coco", np.random.default_rng(seed)
    (folder / "annotations").mkdir(parents=True)
    for split, count in splits.items():
        (folder / split).mkdir()
        content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
        content["categories"] = [{"id": 7 * (place + 1), "name": name} for place, name in enumerate(SHAPES)]
        for number in range(count):
            image, objects = draw_shapes(rng)
            image.save(folder / split / f"{number:012d}.jpg", quality=95)
            size = {"height": image.height, "width": image.width}
            content["images"].append({"id": number + 1, "file_name": f"{number:012d}.jpg", **size})
            rows = [
                {
                    "bbox": [box[0], box[1], box[2] - box[0] + 1, box[3] - box[1] + 1],
                    "segmentation": [each["polygon"]],
                    "category_id": 7 * (SHAPES.index(each["name"]) + 1),
                    "iscrowd": 0,
                }
                for each, box in zip(objects, boxes(objects), strict=True)
            ]
            if number == 0:
                counts = [0, 2 * image.height, image.height * (image.width - 2)]
                crowd = {"size": [image.height, image.width], "counts": counts}
                rows.append({"bbox": [0, 0, 2, image.height], "segmentation": crowd, "category_id": 7, "iscrowd": 1})
            for row in rows:
                content["annotations"].append({"id": len(content["annotations"]) + 1, "image_id": number + 1, **row})
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder
