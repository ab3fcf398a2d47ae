"""The CIFAR sources read the published files wherever they lie, and refuse what was not published."""

import hashlib
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import Files
from sources import read_source

from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import cifar10, cifar100
from coarsecon.errors import InputError


def stored(file: Path) -> dict[bytes, Any]:
    return pickle.loads(file.read_bytes(), encoding="bytes")  # noqa: S301


def test_cifar100_has_both_levels(cifar100_folder: Path) -> None:
    data = read_source(cifar100.SOURCE, cifar100_folder)
    assert (data.name, data.size) == ("cifar100", 32)
    assert {level: len(names) for level, names in data.levels.items()} == {"coarse": 20, "fine": 100}
    assert data.levels["fine"][:2] == ["fine 0", "fine 1"]
    train = data.splits["train"]
    original = stored(cifar100_folder / "cifar-100-python" / "train")
    np.testing.assert_array_equal(np.asarray(train.images).reshape(200, 3072), original[b"data"])
    assert train.labels["fine"].tolist() == original[b"fine_labels"]
    assert train.labels["coarse"].tolist() == original[b"coarse_labels"]
    assert train.names is not None
    assert train.names[7] == "image_0007.png"
    assert len(data.splits["test"].images) == 100


def test_cifar10_joins_its_batches_in_order(cifar10_folder: Path) -> None:
    data = read_source(cifar10.SOURCE, cifar10_folder)
    assert data.levels == {"fine": [
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ]}  # fmt: skip
    batches = [stored(cifar10_folder / "cifar-10-batches-py" / f"data_batch_{number}") for number in range(1, 6)]
    train = data.splits["train"]
    np.testing.assert_array_equal(
        np.asarray(train.images).reshape(-1, 3072), np.concatenate([batch[b"data"] for batch in batches])
    )
    assert train.labels["fine"].tolist() == [label for batch in batches for label in batch[b"labels"]]
    assert len(data.splits["test"].images) == 20


def test_the_folder_its_parent_and_the_archive_give_the_same(
    cifar100_folder: Path, pack: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = cifar100_folder / "cifar-100-python"
    archive = pack(folder)
    (tmp_path / "alone").mkdir()
    moved = archive.rename(tmp_path / "alone" / archive.name)
    checksums = {
        prepare_dataset(cifar100.SOURCE, tmp_path / f"out{i}", source=source).info.splits["train"].checksum
        for i, source in enumerate((folder, folder.parent, moved, moved.parent))
    }
    assert len(checksums) == 1


def test_pickles_written_anew_by_python_3_are_read(cifar100_folder: Path) -> None:
    file = cifar100_folder / "cifar-100-python" / "train"
    expected = read_source(cifar100.SOURCE, cifar100_folder).splits["train"]
    renewed = {key.decode(): value for key, value in stored(file).items()}
    renewed["filenames"] = [name.decode() for name in renewed["filenames"]]
    renewed["fine_labels"] = np.array(renewed["fine_labels"])
    file.write_bytes(pickle.dumps(renewed))
    found = read_source(cifar100.SOURCE, cifar100_folder).splits["train"]
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels["fine"], expected.labels["fine"])
    assert found.names == expected.names


def test_file_names_are_optional(cifar100_folder: Path, python2_pickle: Callable[[Any], bytes]) -> None:
    file = cifar100_folder / "cifar-100-python" / "train"
    content = stored(file)
    del content[b"filenames"]
    file.write_bytes(python2_pickle(content))
    assert read_source(cifar100.SOURCE, cifar100_folder).splits["train"].names is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({b"data": np.zeros((199, 3072), np.uint8)}, "fine_labels is not a list of 199 numbers|coarse_labels"),
        ({b"data": np.zeros((200, 3071), np.uint8)}, r"data is not a uint8 array \[N, 3072\]"),
        ({b"data": np.zeros((200, 3072), np.int32)}, "data is not a uint8 array"),
        ({b"data": None}, "data is not a uint8 array"),
        ({b"fine_labels": [100] * 200}, "fine_labels go beyond 0 to 99"),
        ({b"coarse_labels": [-1] * 200}, "coarse_labels go beyond 0 to 19"),
        ({b"coarse_labels": None}, "coarse_labels is not a list of 200 numbers"),
        ({b"fine_labels": [0.5] * 200}, "fine_labels is not a list of 200 numbers"),
    ],
)
def test_wrong_content_is_named(
    cifar100_folder: Path, python2_pickle: Callable[[Any], bytes], change: dict[bytes, Any], problem: str
) -> None:
    file = cifar100_folder / "cifar-100-python" / "train"
    file.write_bytes(python2_pickle(stored(file) | change))
    with pytest.raises(InputError, match=rf"cifar-100-python: train: ({problem}).*; download the files again"):
        read_source(cifar100.SOURCE, cifar100_folder)


def test_a_wrong_count_is_named(cifar100_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cifar100.SOURCE, "files", replace(cifar100.SOURCE.files, counts={"train": 50_000, "test": 10_000})
    )
    with pytest.raises(InputError, match="200 train images, not 50000; download the files again, or set download"):
        read_source(cifar100.SOURCE, cifar100_folder)


def test_truncated_missing_and_foreign_files_are_named(cifar100_folder: Path) -> None:
    folder = cifar100_folder / "cifar-100-python"
    whole = (folder / "test").read_bytes()
    (folder / "test").write_bytes(whole[:1000])
    with pytest.raises(InputError, match="cifar-100-python: test: the pickle is truncated"):
        read_source(cifar100.SOURCE, cifar100_folder)
    (folder / "test").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match="test: the pickle does not hold a dictionary"):
        read_source(cifar100.SOURCE, cifar100_folder)
    (folder / "test").unlink()
    with pytest.raises(InputError, match="test missing"):
        read_source(cifar100.SOURCE, cifar100_folder)


def test_a_wrong_meta_file_is_named(cifar100_folder: Path) -> None:
    meta = cifar100_folder / "cifar-100-python" / "meta"
    meta.write_bytes(pickle.dumps({"fine_label_names": ["a"] * 100, "coarse_label_names": ["b"]}))
    with pytest.raises(InputError, match="meta: coarse_label_names is not a list of 20 names"):
        read_source(cifar100.SOURCE, cifar100_folder)


def test_what_to_give_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cifar-100-python or cifar-100-python.tar.gz, or set download"):
        read_source(cifar100.SOURCE)
    with pytest.raises(InputError, match=f"^{tmp_path}: does not contain the folder cifar-10-batches-py or"):
        read_source(cifar10.SOURCE, tmp_path)
    with pytest.raises(InputError, match="size: the original images have 32 px, not 64"):
        read_source(cifar10.SOURCE, tmp_path, size=64)


def test_download_fetches_to_the_source_or_the_cache(
    cifar100_folder: Path,
    pack: Callable[[Path], Path],
    served: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = pack(cifar100_folder / "cifar-100-python").read_bytes()
    served.content["/cifar-100-python.tar.gz"] = published
    url, md5 = f"{served.url}/cifar-100-python.tar.gz", hashlib.md5(published).hexdigest()
    monkeypatch.setattr(cifar100.SOURCE, "files", replace(cifar100.SOURCE.files, url=url, md5=md5))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for source, place in ((None, tmp_path / "cache" / "coarsecon"), (tmp_path / "here", tmp_path / "here")):
        data = read_source(cifar100.SOURCE, source, download=True)
        assert len(data.splits["train"].images) == 200
        assert [path.name for path in place.iterdir()] == ["cifar-100-python.tar.gz"]


def test_files_that_are_there_are_not_downloaded(cifar100_folder: Path) -> None:
    assert read_source(cifar100.SOURCE, cifar100_folder, download=True).name == "cifar100"


def test_offline_a_download_says_what_to_do_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/cifar-100-python.tar.gz"
    monkeypatch.setattr(cifar100.SOURCE, "files", replace(cifar100.SOURCE.files, url=url))
    with pytest.raises(
        InputError, match=f"{url}: cannot be downloaded .* manually to {tmp_path}/cifar-100-python.tar.gz"
    ):
        read_source(cifar100.SOURCE, tmp_path, download=True)


@pytest.mark.slow
def test_the_real_cifar100_is_prepared_and_opened_in_no_time(shared: Path, tmp_path: Path) -> None:
    """In processor time, which other work on the machine does not lengthen; one process does it all."""
    subprocess.run([sys.executable, shared / "data" / "unpack_cifar100.py", tmp_path], check=True, capture_output=True)
    start = time.process_time()
    prepare_dataset(cifar100.SOURCE, tmp_path / "out", source=tmp_path)
    prepared = time.process_time()
    dataset = open_dataset(tmp_path / "out")
    opened = time.process_time()
    assert prepared - start < 10
    assert opened - prepared < 1
    np.testing.assert_allclose(dataset.info.mean, (0.5071, 0.4865, 0.4409), atol=1e-4)
    np.testing.assert_allclose(dataset.info.std, (0.2673, 0.2564, 0.2762), atol=1e-4)
    train = dataset.split("train")
    assert dataset.info.levels["fine"][train.labels["fine"][0]] == "cattle"
    assert dataset.info.levels["coarse"][train.labels["coarse"][0]] == "large_omnivores_and_herbivores"
    assert train.labels["fine"].bincount().tolist() == [500] * 100
    assert train.labels["coarse"].bincount().tolist() == [2500] * 20


def test_files_that_are_not_the_published_ones_are_told(cifar100_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cifar100_folder / "cifar-100-python"
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert read_source(cifar100.SOURCE, cifar100_folder).notes == "Not as published, by their MD5: meta, train, test."
    monkeypatch.setattr(cifar100.SOURCE, "files", replace(cifar100.SOURCE.files, checksums={**sums, "test": "another"}))
    assert read_source(cifar100.SOURCE, cifar100_folder).notes == "Not as published, by their MD5: test."
