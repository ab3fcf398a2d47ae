"""ImageNet32 comes in ILSVRC's order from pickles and npz files alike, a batch at a time."""

import io
import pickle
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sources import read_source
from stand_ins import imagenet32 as stand_in

from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import Chunked, imagenet32
from coarsecon.data.sources.labels import read_table

WRITERS = [stand_in.write_pickles, stand_in.write_npz]


@pytest.mark.parametrize("write", WRITERS)
def test_images_and_labels_are_those_of_the_batches(
    write: Callable[..., list[str]], coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = write(tmp_path / "original", monkeypatch)
    done = coarsecon("prepare", "imagenet32", *arguments, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    dataset = open_dataset(tmp_path / "out")
    *train, val = [batch for _, batch in stand_in.batches()]
    of_id = {int(row["devkit_id"]): row for row in read_table("imagenet")}
    for name, batches in (("train", train), ("test", [val])):
        split = dataset.split(name)
        assert split.images is not None
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        np.testing.assert_array_equal(split.images, images)
        rows = [of_id[number] for batch in batches for number in batch["labels"]]
        assert split.labels["fine"].tolist() == [int(row["fine"]) for row in rows]
        assert split.labels["coarse"].tolist() == [int(row["coarse"]) for row in rows]
    first = dataset.split("train").labels["fine"][0]
    assert dataset.info.levels["fine"][first] == "kit fox (n02119789)", "the first class of ImageNet32's own order"


def test_older_pickles_and_files_side_by_side_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python2_pickle: Callable[..., bytes]
) -> None:
    monkeypatch.setattr(imagenet32.SOURCE, "counts", stand_in.COUNTS)
    for name, batch in stand_in.batches():
        content = {key.encode(): value for key, value in batch.items()} | {b"labels": np.array(batch["labels"])}
        (tmp_path / name).write_bytes(python2_pickle(content))
    data = read_source(imagenet32.SOURCE, tmp_path)
    assert len(data.splits["train"].images) == 2000


def test_one_batch_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2000
    monkeypatch.setattr(imagenet32.SOURCE, "counts", {"train": 10 * count, "test": count})
    content = pickle.dumps({"data": np.zeros((count, 3072), np.uint8), "labels": [1] * count}, 3)
    for name in (*imagenet32.FILES["train"], "val_data"):
        (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    try:
        images = read_source(imagenet32.SOURCE, tmp_path).splits["train"].images
        assert isinstance(images, Chunked)
        assert sum(len(piece) for piece in images.pieces()) == len(images) == 10 * count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4.5 * len(content), "the file, what is unpickled of it, and the batch before"


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


IMAGES = np.zeros((200, 3072), np.uint8)
LABELS = np.ones(200, np.int64)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: npz(data=IMAGES, labels=LABELS)[:-100], "not a complete npz file"),
        (lambda: npz(labels=LABELS), r"data is not a uint8 array \[N, 3072\]"),
        (lambda: npz(data=IMAGES.astype(np.float32), labels=LABELS), "data is not a uint8 array"),
        (lambda: npz(data=IMAGES, labels=LABELS[:9]), "labels is not a list of 200 numbers"),
        (lambda: npz(data=IMAGES, labels=LABELS - 1), "labels go beyond 1 to 1000"),
        (lambda: npz(data=IMAGES, labels=LABELS * 1001), "labels go beyond 1 to 1000"),
        (lambda: npz(data=IMAGES, labels=np.array([None] * 200)), "not a complete npz file of plain arrays"),
        (lambda: npz(data=IMAGES[:99], labels=LABELS[:99]), "1,899 train images, not 2,000"),
    ],
)  # fmt: skip
def test_what_was_not_published_is_refused(
    content: Callable[[], bytes], problem: str, coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = stand_in.write_npz(tmp_path / "original", monkeypatch)
    (tmp_path / "original" / "Imagenet32_train_npz" / "train_data_batch_3.npz").write_bytes(content())
    refuses(coarsecon, arguments, tmp_path, problem)


def test_what_unpacks_to_more_than_was_published_is_not_unpacked(
    coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = stand_in.write_npz(tmp_path / "original", monkeypatch)
    monkeypatch.setattr(imagenet32, "MAX_FILE_BYTES", 2**22)
    bomb = io.BytesIO()
    np.savez_compressed(bomb, data=np.zeros(2**23, np.uint8), labels=LABELS)
    (tmp_path / "original" / "Imagenet32_train_npz" / "train_data_batch_3.npz").write_bytes(bomb.getvalue())
    refuses(coarsecon, arguments, tmp_path, "train_data_batch_3.npz: larger than any original file once unpacked")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (pickle.dumps([1]), "train_data_batch_2: the pickle does not hold a dictionary"),
        (pickle.dumps({"data": [[1], [1, 2]], "labels": [1]}), "train_data_batch_2: data is not a uint8 array"),
        (pickle.dumps({"data": IMAGES, "labels": [[1], [1, 2]]}), "labels is not a list of 200 numbers"),
        (pickle.dumps(print), "requests builtins.print, which is refused"),
    ],
)
def test_foul_pickles_are_refused(
    content: bytes, problem: str, coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = stand_in.write_pickles(tmp_path / "original", monkeypatch)
    (tmp_path / "original" / "Imagenet32_train" / "train_data_batch_2").write_bytes(content)
    refuses(coarsecon, arguments, tmp_path, problem)


def test_a_missing_batch_is_named_with_its_remedy(coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = stand_in.write_pickles(tmp_path / "original", monkeypatch)
    (tmp_path / "original" / "Imagenet32_val" / "val_data").unlink()
    refuses(
        coarsecon, arguments, tmp_path, r"val_data \(or val_data.npz\) is missing; get it from https://image-net.org"
    )
    (tmp_path / "original" / "Imagenet32_val.zip").write_bytes(b"")
    refuses(coarsecon, arguments, tmp_path, "is missing; unpack Imagenet32_val.zip there")
    refuses(coarsecon, [], tmp_path, "source: missing; name the folder with train_data_batch_1 to 10")
    refuses(coarsecon, [*arguments, "--size", 64], tmp_path, "size: the original images have 32 px, not 64")


def refuses(coarsecon, arguments: list, tmp_path: Path, problem: str) -> None:
    done = coarsecon("prepare", "imagenet32", *arguments, "--out", tmp_path / "out")
    assert done.code == 2
    assert re.search(problem, " ".join(done.err.split())), done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()
