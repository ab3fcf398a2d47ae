"""A user's images are found with the labels their folders give, or one error says what is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest

from coarsecon.data.sources.listing import ListedImage, list_tree
from coarsecon.errors import InputError


def test_folders_are_classes(tree: Callable[..., Path]) -> None:
    images, others = list_tree(tree("dog/pug/1.jpg", "dog/boxer/1.PNG", "cat/manx/a.webp"))
    assert images == [
        ListedImage("cat/manx/a.webp", "cat", "manx", "train"),
        ListedImage("dog/boxer/1.PNG", "dog", "boxer", "train"),
        ListedImage("dog/pug/1.jpg", "dog", "pug", "train"),
    ]
    assert others.files == []


def test_fine_folders_are_optional_image_by_image(tree: Callable[..., Path]) -> None:
    images, _ = list_tree(tree("dog/1.jpg", "dog/pug/2.jpg"))
    assert [(image.coarse, image.fine) for image in images] == [("dog", ""), ("dog", "pug")]


def test_folders_called_as_splits_are_splits(tree: Callable[..., Path]) -> None:
    images, _ = list_tree(tree("train/dog/pug/1.jpg", "test/dog/1.jpg", "val/cat/1.jpg"))
    assert images == [
        ListedImage("test/dog/1.jpg", "dog", "", "test"),
        ListedImage("train/dog/pug/1.jpg", "dog", "pug", "train"),
        ListedImage("val/cat/1.jpg", "cat", "", "val"),
    ]


@pytest.mark.parametrize("names", [("Train", "Test"), ("TRAIN", "test"), ("training", "testing")])
def test_splits_are_known_however_they_are_written(tree: Callable[..., Path], names: tuple[str, str]) -> None:
    images, _ = list_tree(tree(f"{names[0]}/dog/1.jpg", f"{names[1]}/dog/1.jpg"))
    assert {(image.coarse, image.split) for image in images} == {("dog", "train"), ("dog", "test")}
    assert {image.path.split("/")[0] for image in images} == set(names)


def test_validation_images_are_called_val(tree: Callable[..., Path]) -> None:
    images, _ = list_tree(tree("only/train/dog/1.jpg", "only/validation/dog/1.jpg") / "only")
    assert [image.split for image in images] == ["train", "val"]


def test_a_class_may_be_called_as_a_split(tree: Callable[..., Path]) -> None:
    images, _ = list_tree(tree("train/1.jpg", "bus/1.jpg", "tram/low/1.jpg"))
    assert [(image.coarse, image.split) for image in images] == [
        ("bus", "train"),
        ("train", "train"),
        ("tram", "train"),
    ]


def test_splits_beside_other_folders_are_an_error(tree: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="other folders than train, val and test: cats"):
        list_tree(tree("train/dog/1.jpg", "test/dog/1.jpg", "cats/1.jpg"))


def test_hidden_and_other_files_are_left_out(tree: Callable[..., Path]) -> None:
    root = tree("dog/1.jpg", "dog/.hidden.jpg", ".git/x.jpg", "__MACOSX/dog/1.jpg", "dog/notes.txt", "README.md")
    (root / "empty").mkdir()
    images, others = list_tree(root)
    assert [image.path for image in images] == ["dog/1.jpg"]
    assert others.files == ["README.md", "dog/notes.txt"]


def test_class_names_keep_their_spaces_and_letters(tree: Callable[..., Path]) -> None:
    images, _ = list_tree(tree("Äpfel & Birnen/gelb, süß/1.jpg", "日本 茶/1.jpg"))
    assert [(image.coarse, image.fine) for image in images] == [
        ("Äpfel & Birnen", "gelb, süß"),
        ("日本 茶", ""),
    ]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("1.jpg", "1.jpg is not in a class folder"),
        ("train/1.jpg", "train/1.jpg is not in a class folder"),
        ("dog/pug/young/1.jpg", "dog/pug/young/1.jpg is too deep"),
        ("train/dog/pug/young/1.jpg", "train/dog/pug/young: a folder too deep"),
    ],
)
def test_images_outside_the_class_folders_are_an_error(tree: Callable[..., Path], path: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        list_tree(tree(path, "train/dog/1.jpg" if path.startswith("train") else "dog/1.jpg"))


def test_named_levels_of_deeper_folders(tree: Callable[..., Path]) -> None:
    root = tree(
        "train/food/fruit/apple/1.jpg", "test/food/fruit/2.jpg", "train/food/3.jpg", "train/home/tool/saw/4.jpg"
    )
    images, _ = list_tree(root, ("department", "coarse", "fine"))
    assert images == [
        ListedImage("test/food/fruit/2.jpg", "fruit", "", "test", ("food",)),
        ListedImage("train/food/3.jpg", "", "", "train", ("food",)),
        ListedImage("train/food/fruit/apple/1.jpg", "fruit", "apple", "train", ("food",)),
        ListedImage("train/home/tool/saw/4.jpg", "tool", "saw", "train", ("home",)),
    ]
    with pytest.raises(InputError, match=r"too deep.*expected department/coarse/image"):
        list_tree(root, ("department", "coarse"))


def test_folders_of_one_name_in_two_folders_are_two_classes(tree: Callable[..., Path]) -> None:
    root = tree("food/other/tea/1.jpg", "home/other/tea/2.jpg", "home/lamp/tea/3.jpg")
    images, _ = list_tree(root, ("department", "coarse", "fine"))
    labels = {image.path: (image.coarse, image.fine) for image in images}
    assert labels == {
        "food/other/tea/1.jpg": ("food/other", "tea"),  # fine classes are distinguished with their coarse class
        "home/lamp/tea/3.jpg": ("lamp", "tea"),
        "home/other/tea/2.jpg": ("home/other", "tea"),
    }
    images, _ = list_tree(root, ("coarse", "shelf", "fine"))
    assert [(image.coarse, image.more, image.fine) for image in images] == [
        ("food", ("food/other",), "food/other/tea"),
        ("home", ("lamp",), "lamp/tea"),
        ("home", ("home/other",), "home/other/tea"),
    ]


def test_linked_folders_are_followed_but_not_in_circles(tree: Callable[..., Path]) -> None:
    root = tree("dog/1.jpg")
    (root / "cat").symlink_to(root / "dog")
    assert [image.coarse for image in list_tree(root)[0]] == ["cat", "dog"]
    (root / "dog" / "round").symlink_to(root)
    images, left_out = list_tree(root)
    assert [image.path for image in images] == ["cat/1.jpg", "dog/1.jpg"]
    assert left_out.warnings == ["Skipped 2 link loops: cat/round, dog/round."]


def test_broken_links_are_broken_images_or_named(tree: Callable[..., Path]) -> None:
    root = tree("dog/1.jpg")
    (root / "dog" / "2.jpg").symlink_to(root / "nowhere.jpg")
    (root / "cat").symlink_to(root / "unmounted")
    images, left_out = list_tree(root)
    assert [image.path for image in images] == ["dog/1.jpg", "dog/2.jpg"]
    assert left_out.warnings == ["Skipped 1 broken link: cat."]


def test_folders_without_images_are_named_with_their_content(tree: Callable[..., Path]) -> None:
    root = tree("train/dog/1.jpg", "train/bird/raw/1.nef", "train/bird/2.nef", "test/dog/1.jpg", "docs/a/b/c/d.txt")
    (root / "test" / "cat" / "manx").mkdir(parents=True)
    images, left_out = list_tree(root)
    assert len(images) == 2
    assert left_out.folders == {"docs": "1 .txt", "test/cat": "empty", "train/bird": "2 .nef"}
    assert left_out.warnings == ["No images in 3 folders: docs (1 .txt), test/cat (empty), train/bird (2 .nef)."]
    assert left_out.skipped == (
        "skipped 3 files that are not images: 2 .nef, 1 .txt (1 in docs/a/b/c, 1 in train/bird, 1 in train/bird/raw); "
        "convert 2 .nef to JPEG or PNG to include them"
    )


def test_names_in_two_unicode_forms_are_one_class(tree: Callable[..., Path]) -> None:
    nfc, nfd = (normalize(form, "café") for form in ("NFC", "NFD"))
    images, _ = list_tree(tree(f"train/{nfc}/{nfc}/1.jpg", f"test/{nfd}/{nfd}/1.jpg"))
    assert len(images) == 2
    assert {(image.coarse, image.fine) for image in images} == {(nfc, nfc)}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not let such names be")
def test_names_that_are_no_text_are_an_error(tree: Callable[..., Path]) -> None:
    root = tree("dog/1.jpg")
    (root / "dog" / "\udcff.jpg").touch()
    with pytest.raises(InputError, match="is not UTF-8; rename it"):
        list_tree(root)
