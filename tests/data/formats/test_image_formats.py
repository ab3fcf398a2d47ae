"""Images are known by their content, in every common format and whatever their suffix."""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.formats.image_formats import is_image, open_image
from coarsecon.data.formats.images import decode
from coarsecon.errors import InputError

LOSSLESS = ("PNG", "TIFF", "BMP", "PPM", "ICO", "PCX", "QOI", "SGI")


@pytest.fixture
def picture() -> Image.Image:
    """A picture of 32 px in two colors."""
    pixels = np.full((32, 32, 3), (230, 140, 40), np.uint8)
    pixels[:, 16:] = (40, 80, 200)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "AVIF", "JPEG2000", *LOSSLESS])
@pytest.mark.parametrize("name", ["photo", "photo.txt", "photo.jpg"])
def test_images_are_read_with_any_suffix_or_none(tmp_path: Path, picture: Image.Image, kind: str, name: str) -> None:
    file = tmp_path / name
    if kind not in Image.SAVE:
        Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {kind}")
    picture.save(file, kind)
    assert is_image(file)
    assert np.abs(decode(file).astype(int) - np.asarray(picture)).mean() < 8


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.JPG", "a.pgm", "a.pbm", "a.avif", "a.heic", "a.tga", "a.dib"])
def test_files_with_the_suffix_of_an_image_are_images_unopened(tmp_path: Path, name: str) -> None:
    assert is_image(tmp_path / name)


@pytest.mark.parametrize(("kind", "name"), [("TGA", "a.tga"), ("DIB", "a.dib"), ("PPM", "a.pgm"), ("JPEG", "a.jfif")])
def test_formats_are_read_by_their_suffix(tmp_path: Path, picture: Image.Image, kind: str, name: str) -> None:
    picture.save(tmp_path / name, kind)
    assert np.abs(decode(tmp_path / name).astype(int) - np.asarray(picture)).mean() < 8


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"BMI data of 2020", b"P5 is a file format\n", b"P3\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"%PDF-1.7\n",
     b"8BPS" + bytes(50), b"\0\0\0\x18ftypisom" + bytes(40), bytes(200), b"\x0a\x00" * 40, b"<svg/>", b"\xff\xd8",
     b"\x28\0\0\0" + bytes(60)],
)  # fmt: skip
def test_other_files_are_no_images(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not is_image(tmp_path / "file")


@pytest.mark.parametrize("suffix", [".nef", ".DNG", ".thm", ".part", ".psd"])
def test_previews_and_incomplete_files_are_no_images(tmp_path: Path, picture: Image.Image, suffix: str) -> None:
    picture.save(tmp_path / f"a{suffix}", "TIFF")
    assert not is_image(tmp_path / f"a{suffix}")


def test_the_preview_in_a_camera_raw_file_is_not_taken_for_the_image(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.nef", "TIFF")
    with pytest.raises(InputError, match="a camera raw file; convert it to JPEG or TIFF"):
        decode(tmp_path / "a.nef")


def test_programs_are_never_started_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    monkeypatch.setattr("subprocess.check_call", lambda *args, **kwargs: pytest.fail("started"))
    with pytest.raises(InputError, match="unknown format"):
        decode(file)


def test_too_large_images_are_images_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(b"P6 60000 60000 255\n")
    assert is_image(tmp_path / "bomb")
    with pytest.raises(InputError, match="bomb"):
        decode(tmp_path / "bomb")


def test_heic_images_are_read_with_the_extra(tmp_path: Path, picture: Image.Image) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(picture).save(tmp_path / "a.heic", quality=95)
    (tmp_path / "b").write_bytes((tmp_path / "a.heic").read_bytes())
    assert is_image(tmp_path / "b")
    for name in ("a.heic", "b"):
        assert np.abs(decode(tmp_path / name).astype(int) - np.asarray(picture)).mean() < 8
    with open_image(BytesIO((tmp_path / "b").read_bytes())) as image:
        assert image.size == (32, 32)


@pytest.mark.parametrize("name", ["a.heic", "a", "a.jpg"])
def test_heic_images_without_the_extra_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(60))
    assert is_image(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: needs pillow-heif, .* `pip install 'coarsecon\[heif\]'"):
        decode(tmp_path / name)
