"""Average precision: one for what is perfect, and exact small cases."""

from pathlib import Path

import numpy as np
import pytest
from shapes import write_coco

from coarsecon.detection.coco import read_coco
from coarsecon.detection.masks import encode
from coarsecon.detection.measure import Found, average_precision
from coarsecon.detection.samples import Annotated, DetectionSet, Instance

pytest.importorskip("pycocotools")
CLASSES = ["disc", "square"]
ONE, TWO, THREE = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 40.0, 40.0), (50.0, 0.0, 60.0, 10.0)


def truth(*instances):
    return DetectionSet("here", [Annotated(Path("x.jpg"), (64, 64), instances)])


def found(*rows):
    boxes, scores, labels = zip(*rows, strict=True)
    return [Found(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels))]


def test_perfect_detections_have_precision_1_in_boxes_and_masks(tmp_path):
    images = read_coco(write_coco(tmp_path, {"val2017": 4}), "val2017", masks=True)
    perfect = []
    for image in images.images:
        own = [each for each in image.instances if not each.crowd]
        boxes = np.array([each.box for each in own], np.float32)
        labels = np.array([CLASSES.index(each.label) for each in own])
        masks = [encode(each.mask, image.size) for each in own]
        perfect.append(Found(boxes, np.full(len(own), 0.9, np.float32), labels, masks))
    for kind in ("box", "mask"):
        result = average_precision(images, CLASSES, perfect, kind)
        assert [result[key] for key in ("ap", "ap50", "ap75")] == pytest.approx([1, 1, 1])
        assert [row["class"] for row in result["classes"]] == CLASSES
        assert result["images"] == 4
    nothing = [Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))] * 4
    assert average_precision(images, CLASSES, nothing)["ap50"] == 0


def test_a_box_that_overlaps_by_0_7_counts_up_to_that():
    shifted = (0.0, 0.0, 10.0, 7.2)
    result = average_precision(truth(Instance(ONE, "disc")), CLASSES, found((shifted, 0.9, 0)))
    assert (result["ap50"], result["ap75"]) == pytest.approx((1, 0))
    assert result["ap"] == pytest.approx(0.5)  # .50, .55, .60, .65, .70


def test_precision_is_a_mean_over_recalls_and_classes_without_objects_do_not_count():
    """A hit, a miss, a hit: precision 1 up to recall 1/2, and 2/3 beyond."""
    objects = truth(Instance(ONE, "disc"), Instance(TWO, "disc"))
    guesses = found((ONE, 0.9, 0), (THREE, 0.8, 0), (TWO, 0.7, 0), (THREE, 0.9, 1))
    result = average_precision(objects, CLASSES, guesses)
    assert result["ap50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert [row["class"] for row in result["classes"]] == ["disc"]
    assert average_precision(objects, CLASSES, guesses, recalls=11)["ap50"] == pytest.approx((6 + 5 * 2 / 3) / 11)


@pytest.mark.parametrize("mark", ["difficult", "crowd"])
def test_an_object_to_be_ignored_need_not_be_found_and_finding_it_costs_nothing(mark):
    objects = truth(Instance(ONE, "disc"), Instance(TWO, "disc", **{mark: True}))
    assert average_precision(objects, CLASSES, found((ONE, 0.8, 0)))["ap"] == pytest.approx(1)
    assert average_precision(objects, CLASSES, found((TWO, 0.9, 0), (ONE, 0.8, 0)))["ap"] == pytest.approx(1)
    assert average_precision(objects, CLASSES, found((THREE, 0.9, 0), (ONE, 0.8, 0)))["ap50"] == pytest.approx(0.5)


def test_a_part_of_a_crowd_is_inside_of_it_and_a_part_of_a_difficult_object_is_a_miss():
    part = (22.0, 22.0, 26.0, 26.0)
    for mark, ap in (("crowd", 1.0), ("difficult", 0.5)):
        objects = truth(Instance(ONE, "disc"), Instance(TWO, "disc", **{mark: True}))
        assert average_precision(objects, CLASSES, found((part, 0.9, 0), (ONE, 0.8, 0)))["ap50"] == pytest.approx(ap)


def test_nothing_is_printed(capsys):
    average_precision(truth(Instance(ONE, "disc")), CLASSES, found((ONE, 0.9, 0)))
    assert capsys.readouterr().out == ""
