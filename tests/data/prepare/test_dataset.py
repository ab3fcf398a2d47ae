"""Preparing writes a dataset as a whole or leaves things as they were, and always the same one."""

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kills import killed_at_every_change

from coarsecon.data.prepare.dataset import prepare_dataset, write_dataset
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import Chunked, Source, SourceConfig, SourceData, SourceRequest, SplitData, Stored
from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.progress import Progress, Reporter


class Recorder(Reporter, Progress):
    """Counts its progress; at `interrupt_at`, it acts as Ctrl-C."""

    def __init__(self, interrupt_at: int = -1) -> None:
        self.totals: dict[str, int | None] = {}
        self.done = 0
        self.interrupt_at = interrupt_at

    @contextmanager
    def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
        self.totals[description] = total
        yield self

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        if self.done == self.interrupt_at:
            raise KeyboardInterrupt


@pytest.fixture
def photos(tmp_path: Path, save_image: Callable[..., Path]) -> SourceData:
    """Nine photos of several sizes as files, in two splits."""
    sizes = [(100, 90), (90, 100), (300, 200), (40, 30), (128, 128), (91, 91)]
    paths = [save_image(tmp_path / "original" / f"{i}.jpg", size, i) for i, size in enumerate(sizes)]
    paths += [save_image(tmp_path / "original" / f"{i}.png", (120, 100), i) for i in range(6, 9)]
    splits = {
        "train": SplitData({"coarse": np.arange(6) % 2}, paths[:6], [path.name for path in paths[:6]]),
        "test": SplitData({"coarse": np.zeros(3)}, paths[6:]),
    }
    return SourceData("photos", 80, {"coarse": ["a", "b"]}, splits)


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_is_prepared_says_what_it_is(tmp_path: Path, array_data: SourceData) -> None:
    info = write_dataset(tmp_path / "out", array_data).info
    assert (info.name, info.size, info.form) == ("noise", 8, "array")
    assert info.notes == "noise 1 fine class (b2) with a single training image."
    assert {name: split.count for name, split in info.splits.items()} == {"train": 10, "test": 4}
    assert info.levels == array_data.levels
    images = np.asarray(array_data.splits["train"].images)
    np.testing.assert_allclose(info.mean, (images / 255).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(info.std, (images / 255).std(axis=(0, 2, 3)))


@pytest.mark.parametrize(("size", "form"), [(64, "array"), (65, "files")])
def test_the_size_decides_the_form_of_files(tmp_path: Path, photos: SourceData, size: int, form: str) -> None:
    dataset = write_dataset(tmp_path / "out", replace(photos, size=size))
    assert dataset.info.form == form
    split = dataset.split("train")
    if form == "array":
        assert split.images is not None
        assert split.images.shape == (6, 3, 64, 64)
    else:
        assert split.files is not None
        assert [file.relative_to(dataset.root) for file in split.files] == [
            Path(f"images/train/0000/{i:06d}.jpg") for i in range(6)
        ]
        assert [min(split.image(i).shape[:2]) for i in range(6)] == [74, 74, 74, 30, 74, 74]


def test_the_notes_say_that_there_is_a_single_split(tmp_path: Path, array_data: SourceData) -> None:
    note = "All images are in the split train; there is no other."
    assert note not in write_dataset(tmp_path / "both", array_data).info.notes
    data = replace(array_data, splits={"train": array_data.splits["train"]})
    assert note in write_dataset(tmp_path / "one", data).info.notes


def test_images_without_names_are_numbered(tmp_path: Path, photos: SourceData) -> None:
    dataset = write_dataset(tmp_path / "out", photos)
    assert dataset.split("train").names[0] == "0.jpg"
    assert dataset.split("test").names == ["test-000000", "test-000001", "test-000002"]


@pytest.mark.parametrize("size", [32, 80])
def test_the_result_does_not_depend_on_the_workers(tmp_path: Path, photos: SourceData, size: int) -> None:
    for workers in (1, 3):
        write_dataset(tmp_path / str(workers), replace(photos, size=size), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_the_checksum_tells_contents_apart(tmp_path: Path, array_data: SourceData) -> None:
    def checksums(data: SourceData, name: str) -> dict[str, str]:
        info = write_dataset(tmp_path / name, data).info
        return {split: part.checksum for split, part in info.splits.items()}

    train = array_data.splits["train"]
    images = np.array(train.images)
    images[3, 0, 0, 0] ^= 1
    relabeled = {**train.labels, "fine": np.zeros(10, np.int64)}
    first = checksums(array_data, "first")
    assert checksums(replace(array_data, notes="other"), "same") == first
    other_images = replace(array_data, splits={**array_data.splits, "train": replace(train, images=images)})
    other_labels = replace(array_data, splits={**array_data.splits, "train": replace(train, labels=relabeled)})
    for name, data in (("images", other_images), ("labels", other_labels)):
        found = checksums(data, name)
        assert found["train"] != first["train"]
        assert found["test"] == first["test"]


def test_progress_is_told_image_by_image(tmp_path: Path, photos: SourceData, array_data: SourceData) -> None:
    for name, data, total in (("files", photos, 9), ("arrays", array_data, 14)):
        reporter = Recorder()
        write_dataset(tmp_path / name, data, reporter=reporter)
        assert reporter.done == sum(reporter.totals.values()) == total  # type: ignore[arg-type]


def test_an_existing_folder_is_left_alone(tmp_path: Path, array_data: SourceData) -> None:
    out = tmp_path / "out"
    write_dataset(out, array_data)
    before = contents(out)
    with pytest.raises(InputError, match=r"out: already exists; .*set overwrite"):
        write_dataset(out, replace(array_data, name="other"))
    assert contents(out) == before


def test_overwrite_replaces_a_prepared_dataset(tmp_path: Path, array_data: SourceData, photos: SourceData) -> None:
    out = tmp_path / "out"
    write_dataset(out, photos)
    assert write_dataset(out, array_data, overwrite=True).info.name == "noise"
    assert not (out / "images").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"out", "original"}


def test_overwrite_leaves_anything_else_alone(tmp_path: Path, array_data: SourceData) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not a prepared dataset, so it is not replaced"):
        write_dataset(tmp_path / "out", array_data, overwrite=True)
    with pytest.raises(InputError, match="not a prepared dataset"):
        write_dataset(tmp_path / "out" / "thesis.txt", array_data, overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["thesis.txt", "images/train/mine.jpg", "more/notes.txt", "other.safetensors"])
def test_overwrite_keeps_files_of_a_user_inside_a_prepared_dataset(
    tmp_path: Path, array_data: SourceData, photos: SourceData, name: str
) -> None:
    write_dataset(tmp_path / "out", photos)
    mine = tmp_path / "out" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("precious")
    with pytest.raises(InputError, match=rf"also contains files that do not belong to the dataset \({name}\)"):
        write_dataset(tmp_path / "out", array_data, overwrite=True)
    assert mine.read_text() == "precious"
    mine.unlink()
    assert write_dataset(tmp_path / "out", array_data, overwrite=True).info.name == "noise"


def test_a_dataset_that_appears_meanwhile_is_not_replaced(tmp_path: Path, array_data: SourceData) -> None:
    class Rival(Reporter):
        def progress(self, *_: object, **__: object):  # type: ignore[no-untyped-def, override]
            (tmp_path / "out").mkdir(exist_ok=True)
            (tmp_path / "out" / "thesis.txt").write_text("precious")
            return super().progress("")

    with pytest.raises(InputError, match="already exists"):
        write_dataset(tmp_path / "out", array_data, reporter=Rival())
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_a_dataset_whose_replacement_was_killed_opens_as_it_was(
    tmp_path: Path, array_data: SourceData, photos: SourceData
) -> None:
    out, seen = tmp_path / "data" / "out", []

    def prepare() -> None:
        shutil.rmtree(out.parent, ignore_errors=True)
        shutil.copytree(tmp_path / "old", out)

    def replace_it() -> None:
        write_dataset(out, array_data, overwrite=True)

    write_dataset(tmp_path / "old", photos)
    for _ in killed_at_every_change(prepare, replace_it, step=2):
        seen.append(open_dataset(out).info.name)
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"photos", "noise"}
    replace_it()
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(tmp_path: Path, array_data: SourceData) -> None:
    (tmp_path / "out").mkdir()
    assert write_dataset(tmp_path / "out", array_data).info.name == "noise"


def test_a_broken_image_is_named_and_nothing_is_left(tmp_path: Path, photos: SourceData) -> None:
    broken = photos.splits["test"].images[1]
    assert isinstance(broken, Path)
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(InputError, match=f"{broken}: not a readable image"):
        write_dataset(tmp_path / "out", photos)
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


def test_an_interruption_leaves_the_old_dataset(tmp_path: Path, array_data: SourceData, photos: SourceData) -> None:
    out = tmp_path / "out"
    write_dataset(out, array_data)
    before = contents(out)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(out, photos, overwrite=True, reporter=Recorder(interrupt_at=5))
    assert contents(out) == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "original"}
    assert open_dataset(out).info.name == "noise"


def test_what_a_source_gets_wrong_is_refused_before_it_takes_its_place(tmp_path: Path, array_data: SourceData) -> None:
    wrong = replace(array_data, levels={"coarse": ["a"], "fine": ["a1"]})
    with pytest.raises(InputError, match="coarse labels outside"):
        write_dataset(tmp_path / "out", wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error_while_running(tmp_path: Path, array_data: SourceData) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CoarseconError, match="cannot"):
        write_dataset(tmp_path / "file" / "out", array_data)


def test_a_taken_place_is_refused_before_the_source_is_read(tmp_path: Path, array_data: SourceData) -> None:
    class Noise(Source):
        name = "noise"

        def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
            assert not (tmp_path / "out").exists() or overwrite
            return array_data

    overwrite = False
    assert prepare_dataset(Noise(), tmp_path / "out").info.name == "noise"
    with pytest.raises(InputError, match="already exists"):
        prepare_dataset(Noise(), tmp_path / "out")
    overwrite = True
    assert prepare_dataset(Noise(), tmp_path / "out", overwrite=True).info.name == "noise"


def test_images_inside_a_larger_file_or_in_memory_are_as_those_of_files(tmp_path: Path, photos: SourceData) -> None:
    files = [path for path in photos.splits["train"].images if isinstance(path, Path)]
    archive = tmp_path / "original" / "photos.tar"
    with tarfile.open(archive, "w") as tar:
        for file in files:
            tar.add(file, file.name)
    with tarfile.open(archive) as tar:
        stored = [Stored(archive, member.offset_data, member.size, member.name) for member in tar]
    for i, images in enumerate([stored, [file.read_bytes() for file in files]]):
        train = replace(photos.splits["train"], images=images)
        for size in (32, 80):
            expected = write_dataset(tmp_path / f"files{i}-{size}", replace(photos, size=size))
            moved = replace(photos, size=size, splits={**photos.splits, "train": train})
            assert write_dataset(tmp_path / f"other{i}-{size}", moved).info == expected.info


def test_an_image_inside_a_larger_file_is_named_when_broken(tmp_path: Path, photos: SourceData) -> None:
    (tmp_path / "original" / "all.tar").write_bytes(b"no image")
    train = SplitData({"coarse": np.zeros(1)}, [Stored(tmp_path / "original" / "all.tar", 2, 100, "n01/a.JPEG")])
    with pytest.raises(InputError, match=r"all\.tar: n01/a\.JPEG: not a readable image"):
        write_dataset(tmp_path / "out", replace(photos, splits={"train": train}))


def in_pieces(images: np.ndarray, *lengths: int) -> Chunked:
    return Chunked(sum(lengths), images.shape[-1], lambda: iter(np.split(images, np.cumsum(lengths))[:-1]))


def test_images_in_pieces_are_as_those_of_one_array(tmp_path: Path, array_data: SourceData) -> None:
    train = array_data.splits["train"]
    cut = replace(train, images=in_pieces(np.asarray(train.images), 3, 1, 6))
    whole = write_dataset(tmp_path / "whole", array_data)
    write_dataset(tmp_path / "pieces", replace(array_data, splits={**array_data.splits, "train": cut}))
    assert contents(tmp_path / "whole") == contents(tmp_path / "pieces")
    found = whole.split("train")
    assert found.images is not None
    np.testing.assert_array_equal(found.images, np.asarray(train.images))
    np.testing.assert_array_equal(found.labels["fine"], train.labels["fine"])


def test_pieces_that_are_too_few_or_of_other_shape_are_refused(tmp_path: Path, array_data: SourceData) -> None:
    train = array_data.splits["train"]
    images = np.asarray(train.images)
    short = replace(in_pieces(images, 3, 1, 6), pieces=lambda: iter([images[:9]]))
    mixed = replace(in_pieces(images, 3, 1, 6), pieces=lambda: iter([images[:5], images[5:, :, :4]]))
    for wrong, message in ((short, "9 images instead of 10"), (mixed, r"not uint8 \[N, 3, 8, 8\]")):
        data = replace(array_data, splits={"train": replace(train, images=wrong)})
        with pytest.raises(InputError, match=message):
            write_dataset(tmp_path / "out", data)
    assert list(tmp_path.iterdir()) == []


def test_constant_channels_are_named_and_normalized_by_a_floor(tmp_path: Path, array_data: SourceData) -> None:
    images = np.array(array_data.splits["train"].images)
    images[:, [0, 2]] = 0
    images[0, 2, 0, 0] = 1
    splits = {**array_data.splits, "train": replace(array_data.splits["train"], images=images)}
    info = write_dataset(tmp_path / "green", replace(array_data, splits=splits)).info
    assert info.std[0] == 0
    assert info.normalizing_std == (0.02, info.std[1], 0.02)
    (note,) = info.channel_notes
    assert note.startswith("The channels red and blue are constant, or nearly so")
    assert info.notes.endswith(note)
    assert not write_dataset(tmp_path / "color", array_data).info.channel_notes
