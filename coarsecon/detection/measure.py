"""Average precision of a detector, by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from coarsecon.detection.data import Examples, load_batches
from coarsecon.detection.masks import RunLengths, encode, require_pycocotools
from coarsecon.detection.samples import DetectionSet
from coarsecon.runtime.progress import Reporter

Kind = Literal["box", "mask"]
VOC07_RECALLS = 11
"""Recall values of the VOC 2007 metric; COCO uses 101."""


@dataclass(frozen=True)
class Found:
    """Detections in an image: boxes [K, 4] in pixels, scores [K], class indices [K], and masks."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: Sequence[RunLengths] = ()


@torch.no_grad()
def detect_all(
    model: nn.Module,
    images: DetectionSet,
    classes: Sequence[str],
    *,
    device: torch.device,
    workers: int = 0,
    reporter: Reporter | None = None,
) -> list[Found]:
    """Detect at most 100 objects per image, one image at a time, in float32.

    Raises:
        InputError: An image cannot be read.
    """
    model.eval()
    batches = [[index] for index in range(len(images.images))]
    found = []
    with (reporter or Reporter()).progress("measuring", len(batches)) as bar:
        for batch in load_batches(Examples(images.images, classes), batches, workers):
            found += [_as_found(each) for each in model([image.to(device) / 255 for image, _ in batch])]
            bar.advance(len(batch))
    return found


def _as_found(detections: dict[str, torch.Tensor]) -> Found:
    boxes, scores, labels = (detections[name].cpu().numpy() for name in ("boxes", "scores", "labels"))
    masks: list[RunLengths] = []
    if "masks" in detections:
        rle = require_pycocotools()
        inside = (detections["masks"][:, 0] > 0.5).byte().cpu().numpy()
        masks = [rle.encode(np.asfortranarray(mask)) for mask in inside]
    return Found(boxes, scores, labels - 1, masks)


def average_precision(
    truth: DetectionSet, classes: Sequence[str], found: Sequence[Found], kind: Kind = "box", *, recalls: int = 101
) -> dict[str, Any]:
    """Compute `ap` (mean over IoU thresholds .5, .55, ... .95), `ap50` and `ap75`, averaged over the classes that have
    a box, and per class in `classes`.

    Difficult objects and crowds are ignored. With 11 `recalls` it is the VOC 2007 metric, except that VOC counts one
    more pixel in widths and heights.
    """
    curves = _precision(truth, classes, found, kind, recalls)  # [overlaps, recalls, classes], -1 without objects
    rows = []
    for place, name in enumerate(classes):
        if (own := curves[:, :, place]).min() > -1:
            rows.append({"class": name, "ap": own.mean(), "ap50": own[0].mean(), "ap75": own[5].mean()})
    means = {key: float(np.mean([row[key] for row in rows])) for key in ("ap", "ap50", "ap75")}
    plain = [{key: value if key == "class" else float(value) for key, value in row.items()} for row in rows]
    return {**means, "images": len(truth.images), "classes": plain}


def _precision(
    truth: DetectionSet, classes: Sequence[str], found: Sequence[Found], kind: Kind, recalls: int
) -> NDArray[np.float64]:
    require_pycocotools()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    class Evaluation(COCOeval):  # type: ignore[misc]
        """Ignore difficult objects; pycocotools ignores only crowds."""

        def _prepare(self) -> None:
            super()._prepare()
            for objects in self._gts.values():
                for each in objects:
                    each["ignore"] = each["ignore"] or each["difficult"]

    def indexed(annotations: list[dict[str, Any]]) -> Any:
        coco = COCO()
        coco.dataset = {
            "images": [
                {"id": number, "height": image.size[0], "width": image.size[1]}
                for number, image in enumerate(truth.images)
            ],
            "categories": [{"id": place, "name": name} for place, name in enumerate(classes)],
            "annotations": annotations,
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        measured = Evaluation(
            indexed(_objects(truth, classes, kind)), indexed(_detections(found, kind)),
            "bbox" if kind == "box" else "segm",
        )  # fmt: skip
        measured.params.recThrs = np.linspace(0, 1, recalls)
        measured.params.areaRng, measured.params.areaRngLbl = [[0, 1e10]], ["all"]
        measured.params.maxDets = [100]
        measured.evaluate()
        measured.accumulate()
    curves: NDArray[np.float64] = measured.eval["precision"][..., 0, 0]
    return curves


def _objects(truth: DetectionSet, classes: Sequence[str], kind: Kind) -> list[dict[str, Any]]:
    places = {name: place for place, name in enumerate(classes)}
    rows: list[dict[str, Any]] = []
    for number, image in enumerate(truth.images):
        for each in image.instances:
            left, top, right, bottom = each.box
            row = {
                "id": len(rows) + 1, "image_id": number, "category_id": places[each.label],
                "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top),
                "iscrowd": int(each.crowd), "difficult": each.difficult,
            }  # fmt: skip
            if kind == "mask" and each.mask is not None:
                row["segmentation"] = encode(each.mask, image.size)
            rows.append(row)
    return rows


def _detections(found: Sequence[Found], kind: Kind) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, each in enumerate(found):
        for place in range(len(each.scores)):
            left, top, right, bottom = each.boxes[place].tolist()
            row = {
                "id": len(rows) + 1, "image_id": number, "category_id": int(each.labels[place]),
                "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top),
                "iscrowd": 0, "score": float(each.scores[place]),
            }  # fmt: skip
            if kind == "mask":
                row["segmentation"] = each.masks[place]
            rows.append(row)
    return rows
