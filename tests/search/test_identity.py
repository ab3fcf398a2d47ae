"""Images are recognized by their content, wherever they lie and whatever they are called."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.sources.folder import SOURCE
from coarsecon.search.identity import ImageRef, PreparedImages, SameFiles

FORMS = {
    "array": (32, {}),
    "copies": (72, {}),
    "png": (72, {"copies": "png"}),
    "other side": (72, {"resize_shorter": 90}),
    "side below": (32, {"resize_shorter": 60}),
}


@pytest.fixture(params=FORMS)
def prepared(request: pytest.FixtureRequest, tmp_path: Path, save_image: Callable[..., Path]) -> PreparedImages:
    """A dataset of JPEG and PNG photos of several sizes, in each form."""
    for i, size in enumerate([(100, 120), (150, 100), (40, 50), (60, 64)]):
        for kind in ("jpg", "png"):
            save_image(tmp_path / "photos" / "train" / "dog" / f"{i}.{kind}", size, i)
            save_image(tmp_path / "photos" / "test" / "dog" / f"{i}.{kind}", size, i + 10)
    size, writing = FORMS[request.param]
    dataset = prepare_dataset(SOURCE, tmp_path / "data", source=tmp_path / "photos", size=size, workers=1, **writing)
    return PreparedImages(dataset)


@pytest.mark.parametrize("name", ["train/dog/0.jpg", "train/dog/1.png", "train/dog/2.jpg", "test/dog/3.jpg"])
def test_an_image_is_found_under_any_name(prepared: PreparedImages, tmp_path: Path, name: str) -> None:
    original = tmp_path / "photos" / name
    split = name.partition("/")[0]
    expected = ImageRef(split, prepared.dataset.split(split).names.index(name))
    moved = tmp_path / "elsewhere" / "renamed.jpg"
    moved.parent.mkdir()
    moved.write_bytes(original.read_bytes())
    assert prepared.places(original)[0] == expected
    assert expected in prepared.places(moved)


def test_another_image_of_the_same_name_is_not_found(
    prepared: PreparedImages, tmp_path: Path, save_image: Callable[..., Path]
) -> None:
    assert (
        prepared.places(save_image(tmp_path / "elsewhere" / "photos" / "train" / "dog" / "0.jpg", (100, 120), 5)) == []
    )
    pixels = np.array(Image.open(tmp_path / "photos" / "train" / "dog" / "2.png"))
    pixels[20:] = 255 - pixels[20:]
    Image.fromarray(pixels).save(tmp_path / "2.png")
    assert prepared.places(tmp_path / "2.png") == []


def test_a_broken_file_is_no_prepared_image(prepared: PreparedImages, tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(b"x")
    assert prepared.places(tmp_path / "0.jpg") == []
    assert prepared.places(tmp_path / "nowhere.jpg") == []


def test_the_image_of_the_same_name_comes_first(tmp_path: Path, save_image: Callable[..., Path]) -> None:
    for name in ("a/1.png", "b/2.png", "b/3.png"):
        save_image(tmp_path / "photos" / name, (40, 40), 0)
    dataset = prepare_dataset(SOURCE, tmp_path / "data", source=tmp_path / "photos", size=32, workers=1)
    found = PreparedImages(dataset).places(tmp_path / "photos" / "b" / "3.png")
    assert [place.number for place in found] == [2, 0, 1]


def test_files_are_compared_by_their_bytes(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abcd"]
    for file, content in zip(files, [b"xx", b"yy", b"xx", b"xxx"], strict=True):
        file.write_bytes(content)
    same = SameFiles([*files, tmp_path / "gone"])
    assert (same.equal(b"xx"), same.equal(b"xxx"), same.equal(b"zz")) == ([0, 2], [3], [])
