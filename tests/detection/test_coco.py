"""COCO format: boxes, masks and crowds, and what of hostile or broken annotations is refused."""

import json

import numpy as np
import pytest
from shapes import write_coco

from coarsecon.detection.coco import read_coco
from coarsecon.detection.data import Examples, format_of, load_batches, mirrored, read_split
from coarsecon.detection.masks import decode, encode, read_segmentation
from coarsecon.errors import InputError

rle = pytest.importorskip("pycocotools.mask")


@pytest.fixture
def coco(tmp_path):
    return write_coco(tmp_path, {"train2017": 3, "val2017": 2})


def content_of(folder, split="train2017"):
    path = folder / "annotations" / f"instances_{split}.json"
    return path, json.loads(path.read_text())


def test_boxes_masks_and_crowds(coco):
    assert format_of(coco) == "coco"
    found = read_split([coco], "train2017", masks=True)
    _, content = content_of(coco)
    assert sum(len(image.instances) for image in found.images) == len(content["annotations"])
    assert set(found.classes()) == {"disc", "square"}
    *others, crowd = found.images[0].instances
    assert crowd.crowd
    assert crowd.box == (0, 0, 2, 64)
    assert not any(each.crowd for each in others)
    left, top, width, height = content["annotations"][0]["bbox"]
    assert others[0].box == (left, top, left + width, top + height)
    kept = found.trainable(difficult=True).images[0].instances
    assert list(kept) == others
    assert all(
        each.mask is None for image in read_coco(coco, "train2017", masks=False).images for each in image.instances
    )


def test_a_mask_fills_its_box(coco):
    for image in read_coco(coco, "train2017", masks=True).images:
        for each in image.instances:
            rows, columns = np.nonzero(decode(each.mask, image.size))
            found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert np.abs(np.array(found) - np.array(each.box)).max() <= 1


def test_run_lengths_read_alike_in_all_three_forms():
    rng = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.5, 1.0):
        mask = (rng.random((41, 53)) < density).astype(np.uint8)
        packed = rle.encode(np.asfortranarray(mask))
        flat = mask.ravel(order="F").astype(int)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
        counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        for form in (packed["counts"].decode(), counts):
            read = read_segmentation({"size": [41, 53], "counts": form}, (41, 53), "here")
            assert (decode(read, (41, 53)) == mask).all()
            assert (rle.decode(encode(read, (41, 53))) == mask).all()


HOSTILE = [
    {"size": [64, 64], "counts": [10, 10]},
    {"size": [64, 64], "counts": [-4, 4100]},
    {"size": [64, 64], "counts": [4096.0]},
    {"size": [64, 64], "counts": [True, 4095]},
    {"size": [65, 64], "counts": [4160]},
    {"size": [64, 64], "counts": "o" * 10_000},
    {"size": [64, 64], "counts": "\u00ff\u00ff"},
    {"size": [64, 64], "counts": "10"},
    {"size": [64, 64]},
    [[1, 2, 3, 4]],
    [[1, 2, 3, 4, 5, 6, 7]],
    [[1, 2, 3, 4, 5, float("nan")]],
    [[1, 2, 3, 4, 5, 10**400]],
    [["a"] * 6],
    [[[1, 2], [3, 4], [5, 6]]],
    [],
    None,
    "m" * 64,
]


@pytest.mark.parametrize("segmentation", HOSTILE, ids=lambda value: str(value)[:40])
def test_a_segmentation_that_would_crash_a_reader_is_refused(segmentation):
    with pytest.raises(InputError, match="segmentation"):
        read_segmentation(segmentation, (64, 64), "here")


def test_a_polygon_is_cut_to_its_image():
    read = read_segmentation([[-1e8, -1e8, 1e8, -1e8, 1e8, 1e8, -1e8, 1e8]], (20, 30), "here")
    assert decode(read, (20, 30)).all()


@pytest.mark.parametrize(
    "name", ["../val2017/000000000000.jpg", "/etc/passwd", "a/../../x.jpg", "..\\x.jpg", "C:x", "", 3]
)
def test_a_file_name_leads_nowhere_else(coco, name):
    path, content = content_of(coco)
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"is not the name of a file inside|not a string"):
        read_coco(coco, "train2017", masks=False)


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("annotations", {"bbox": [1, 2, 3]}, "not left, top, width and height"),
        ("annotations", {"bbox": [1, 2, 3, "4"]}, "not left, top, width and height"),
        ("annotations", {"bbox": [1, 2, float("inf"), 4]}, "not left, top, width and height"),
        ("annotations", {"bbox": [1, 2, -3, 4]}, "is no box"),
        ("annotations", {"category_id": 99}, "no category 99"),
        ("annotations", {"image_id": 99}, "of image 99"),
        ("annotations", {"image_id": "1"}, "not an integer"),
        ("annotations", {"segmentation": [[1, 2]]}, "polygon"),
        ("images", {"file_name": "none.jpg"}, "there is no image"),
        ("images", {"width": "64"}, "width and height of the image"),
        ("images", {"width": 10**8, "height": 10**8}, "more than is read"),
        ("images", {"id": 2}, "two images have the id 2"),
        ("categories", {"name": "square"}, "share an id or a name"),
        ("categories", {"name": 5}, "not a string"),
    ],
)
def test_a_broken_annotation_is_told_with_its_file(coco, part, change, says):
    path, content = content_of(coco)
    content[part][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=says) as told:
        read_coco(coco, "train2017", masks=True)
    assert "instances_train2017.json" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"images": {}}', "[" * 100_000, '{"images": [3]}'], ids=lambda text: text[:12]
)
def test_a_file_that_holds_something_else_is_refused(coco, text):
    content_of(coco)[0].write_text(text)
    with pytest.raises(InputError, match=r"not a readable file|no list of"):
        read_coco(coco, "train2017", masks=False)


def test_what_is_missing_is_named(coco):
    with pytest.raises(InputError, match=r"instances_test2017\.json: not a readable file"):
        read_coco(coco, "test2017", masks=False)
    with pytest.raises(InputError, match="is not the name of a split"):
        read_coco(coco, "../train2017", masks=False)
    (coco / "train2017").rename(coco / "elsewhere")
    with pytest.raises(InputError, match="no folder train2017"):
        read_coco(coco, "train2017", masks=False)


def test_examples_hold_what_detectors_take_and_their_mirror_images(coco):
    images = read_coco(coco, "train2017", masks=True).trainable(difficult=True).images
    examples = Examples(images, ["disc", "square"])
    [[first], [second]] = load_batches(examples, [[0], [1]], workers=0)
    for image, target in (first, second):
        assert image.shape == (3, 64, 64)
        assert target["masks"].shape == (len(target["boxes"]), 64, 64)
        assert set(target["labels"].tolist()) <= {1, 2}
        turned, there = mirrored((image, target))
        assert (turned.flip(2) == image).all()
        for box, mask in zip(there["boxes"], there["masks"], strict=True):
            columns = mask.any(0).nonzero()
            assert abs(float(columns.min() - box[0])) <= 1
            assert abs(float(columns.max() + 1 - box[2])) <= 1
        back = mirrored((turned, there))[1]
        assert (back["boxes"] == target["boxes"]).all()


def test_a_broken_image_is_told_by_a_worker_without_a_traceback(coco):
    images = read_coco(coco, "train2017", masks=False).images
    images[1].image.write_bytes(b"no image")
    with pytest.raises(InputError) as told:
        list(load_batches(Examples(images, ["disc", "square"]), [[0, 1]], workers=1))
    assert "Traceback" not in str(told.value)


def test_categories_and_files_match_in_any_unicode_form(coco):
    path, content = content_of(coco)
    nfc, nfd = "caf\u00e9", "cafe\u0301"
    content["categories"][0]["name"] = nfd
    image = content["images"][0]
    (coco / "train2017" / image["file_name"]).rename(coco / "train2017" / f"{nfd}.jpg")
    image["file_name"] = f"{nfc}.jpg"
    path.write_text(json.dumps(content))
    found = read_coco(coco, "train2017", masks=False)
    assert found.images[0].image.name == f"{nfd}.jpg"
    labels = {each.label for annotated in found.images for each in annotated.instances}
    assert nfc in labels
    assert nfd not in labels
