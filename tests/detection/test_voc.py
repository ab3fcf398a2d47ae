"""VOC format: what is read of it, and what of hostile or broken annotations is refused."""

import numpy as np
import pytest
from shapes import write_voc

from coarsecon.detection.data import format_of, read_pixels, read_split
from coarsecon.detection.samples import check_classes
from coarsecon.detection.voc import MAX_BYTES, parse_xml, read_voc, voc_folders
from coarsecon.errors import InputError

ANNOTATION = """<annotation><size><width>64</width><height>64</height></size>
<object><name>disc</name><difficult>1</difficult><part><name>rim</name><bndbox><xmin>1</xmin></bndbox></part>
<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>64</xmax><ymax>30.5</ymax></bndbox></object></annotation>"""


@pytest.fixture
def voc(tmp_path):
    return write_voc(tmp_path / "VOCdevkit", {"trainval": 3, "test": 2})


def annotate(folder, text, name="trainval_000001"):
    (folder / "Annotations" / f"{name}.xml").write_text(text)


def test_boxes_begin_at_0_and_end_behind_their_last_pixel(voc):
    annotate(voc, ANNOTATION)
    image = read_voc(voc, "trainval").images[1]
    assert image.size == (64, 64)
    assert [(each.label, each.difficult, each.crowd) for each in image.instances] == [("disc", True, False)]
    assert image.instances[0].box == (0, 2, 64, 30.5)
    assert image.image.name == "trainval_000001.jpg"


def test_the_boxes_of_drawn_shapes_hold_their_colour(voc):
    for image in read_voc(voc, "trainval").images:
        pixels = read_pixels(image).astype(int)
        for each in image.instances:
            left, top, right, bottom = map(int, each.box)
            middle = pixels[(top + bottom) // 2, (left + right) // 2]
            assert middle[0] - middle[2] > 80 if each.label == "disc" else middle[2] - middle[0] > 80


def test_folders_are_found_from_above_and_years_are_joined(voc, tmp_path):
    write_voc(tmp_path / "VOCdevkit", {"trainval": 2}, year=2012, seed=1)
    for place in (tmp_path, tmp_path / "VOCdevkit"):
        assert [folder.name for folder in voc_folders(place)] == ["VOC2007", "VOC2012"]
        assert format_of(place) == "voc"
        assert len(read_split([place], "trainval", masks=False).images) == 5
        assert len(read_split([place], "test", masks=False).images) == 2
    assert voc_folders(voc) == [voc]
    assert len(read_split([voc, voc.with_name("VOC2012")], "trainval", masks=False).images) == 5


def test_difficult_objects_are_trained_with_only_when_asked_for(voc):
    annotate(voc, ANNOTATION)
    whole = read_voc(voc, "trainval")
    assert len(whole.trainable(difficult=True).images) == 3
    kept = whole.trainable(difficult=False)
    assert len(kept.images) == 2
    assert not any(each.difficult for image in kept.images for each in image.instances)


BOMB = '<!DOCTYPE a [<!ENTITY b "{0}"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_before_any_entity_is_read(tmp_path, encoding):
    path = tmp_path / "bomb.xml"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?>' + BOMB.format("x" * 1000), encoding=encoding)
    with pytest.raises(InputError, match="document type"):
        parse_xml(path)
    path.write_text('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>')
    with pytest.raises(InputError, match="document type"):
        parse_xml(path)


def test_an_endless_annotation_is_refused(tmp_path):
    path = tmp_path / "long.xml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="bytes"):
        parse_xml(path)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("</annotation>", "", "not a readable annotation"),
        ("<xmax>64</xmax>", "<xmax>much</xmax>", "bndbox/xmax is 'much'"),
        ("<xmax>64</xmax>", "<xmax>nan</xmax>", "is no box"),
        ("<xmax>64</xmax>", "<xmax>-5</xmax>", "is no box"),
        ("<width>64</width>", "", "size/width is ''"),
        ("<width>64</width>", "<width>0</width>", "width and height"),
        ("<width>64</width>", "<width>inf</width>", "width and height"),
        ("<width>64</width>", "<width>9000000</width>", "more than is read"),
        ("<name>disc</name>", "<name> </name>", "no name"),
    ],
)
def test_a_broken_annotation_is_told_with_its_file(voc, before, after, says):
    annotate(voc, ANNOTATION.replace(before, after))
    with pytest.raises(InputError, match=says) as told:
        read_voc(voc, "trainval")
    assert "trainval_000001.xml" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..", "a/b", "C:x", "a\\b"])
def test_a_list_names_images_and_no_places(voc, name):
    (voc / "ImageSets" / "Main" / "trainval.txt").write_text(f"{name}\n")
    with pytest.raises(InputError, match="is not the name of an image"):
        read_voc(voc, "trainval")


def test_what_is_missing_is_named(voc):
    with pytest.raises(InputError, match=r"Main/val\.txt"):
        read_split([voc], "val", masks=False)
    with pytest.raises(InputError, match="is not the name of a list"):
        read_voc(voc, "../../trainval")
    with pytest.raises(InputError, match="no masks"):
        read_split([voc], "trainval", masks=True)
    with pytest.raises(InputError, match="neither in VOC format"):
        format_of(voc / "Annotations")
    (voc / "JPEGImages" / "trainval_000002.jpg").unlink()
    with pytest.raises(InputError, match=r"no image .*trainval_000002\.jpg"):
        read_voc(voc, "trainval")
    (voc / "Annotations" / "test_000000.xml").unlink()
    with pytest.raises(InputError, match=r"test_000000\.xml: not a readable annotation"):
        read_voc(voc, "test")


def test_an_image_of_another_size_than_its_annotation_says_is_refused(voc):
    annotate(voc, ANNOTATION.replace("<width>64", "<width>65"))
    image = read_voc(voc, "trainval").images[1]
    with pytest.raises(InputError, match="64 x 64 px, but its annotation says 65 x 64"):
        read_pixels(image)
    image.image.write_bytes(b"no image")
    with pytest.raises(InputError, match="not a readable image"):
        read_pixels(image)


def test_a_class_that_training_has_no_box_of_is_named(voc):
    train, test = read_voc(voc, "trainval"), read_voc(voc, "test")
    annotate(voc, ANNOTATION.replace(">disc<", ">ring<").replace("<difficult>1", "<difficult>0"), "test_000000")
    with pytest.raises(InputError, match=r"test\.txt: 'ring' has no box in the training images"):
        check_classes(train, read_voc(voc, "test"))
    assert check_classes(train, test) == sorted(set(train.classes()))
    for name in ("test_000000", "test_000001"):
        annotate(voc, ANNOTATION, name)
    with pytest.raises(InputError, match="no box to evaluate on"):
        check_classes(train, read_voc(voc, "test"))
    with pytest.raises(InputError, match="no box to train on"):
        read_voc(voc, "test").trainable(difficult=False)


def test_a_box_outside_of_the_image_is_left_out_and_one_across_its_edge_is_cut(voc):
    box = "<xmin>{0}</xmin><ymin>3</ymin><xmax>{1}</xmax>"
    annotate(voc, ANNOTATION.replace(box.format(1, 64), box.format(60, 80)))
    assert read_voc(voc, "trainval").images[1].boxes().tolist() == [[59, 2, 64, 30.5]]
    annotate(voc, ANNOTATION.replace(box.format(1, 64), box.format(70, 80)))
    assert read_voc(voc, "trainval").images[1].boxes().shape == (0, 4)
    assert read_voc(voc, "trainval").images[1].boxes().dtype == np.float32
