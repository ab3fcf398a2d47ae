"""Batches hold the images asked for, in order, each with its own size, whatever decodes them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepared.loader import ImageLoader, padded
from coarsecon.data.prepared.store import Split
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.errors import InputError

ORDER = [torch.tensor([3, 1]), torch.tensor([0, 3, 6]), torch.tensor([5])]


@pytest.fixture
def files(tmp_path: Path, save_image: Callable[..., Path]) -> Split:
    paths = [save_image(tmp_path / "original" / f"{i}.jpg", (40 + 3 * i, 60 - i), i) for i in range(8)]
    data = SourceData("photos", 80, {"coarse": ["a"]}, {"train": SplitData({"coarse": np.zeros(8)}, paths)})
    return write_dataset(tmp_path / "files", data).split("train")


@pytest.fixture
def arrays(tmp_path: Path, array_data: SourceData) -> Split:
    return write_dataset(tmp_path / "arrays", array_data).split("train")


def check(split: Split, loader: ImageLoader, order: list[torch.Tensor]) -> None:
    batches = list(loader.batches(order))
    assert len(batches) == len(order)
    for batch, indices in zip(batches, order, strict=True):
        assert (batch.pixels.dtype, batch.sizes.dtype) == (torch.uint8, torch.int64)
        assert len(batch) == len(indices)
        for pixels, (height, width), index in zip(batch.pixels, batch.sizes.tolist(), indices.tolist(), strict=True):
            expected = split.image(index)
            assert expected.shape == (height, width, 3)
            np.testing.assert_array_equal(pixels[:, :height, :width].permute(1, 2, 0), expected)
            assert not pixels[:, height:].any()
            assert not pixels[:, :, width:].any()


def test_arrays_are_indexed(arrays: Split) -> None:
    check(arrays, ImageLoader(arrays, "cpu"), ORDER)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_files_are_decoded_in_order_epoch_after_epoch(files: Split, workers: int) -> None:
    loader = ImageLoader(files, torch.device("cpu"), workers)
    check(files, loader, ORDER)
    check(files, loader, list(torch.arange(8).split(1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dropped_iterator_does_not_disturb_the_next(files: Split, workers: int) -> None:
    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield torch.tensor([7, 2])

    loader = ImageLoader(files, "cpu", workers)
    batches = loader.batches(endless())
    assert len(next(batches)) == 2
    batches.close()  # type: ignore[attr-defined]
    check(files, loader, ORDER)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_one_plain_error(files: Split, workers: int) -> None:
    assert files.files is not None
    files.files[3].write_bytes(b"broken")
    before = set(active_children())
    with pytest.raises(InputError, match=rf"^{files.files[3]}: not a readable image [^\n]*\Z"):
        list(ImageLoader(files, "cpu", workers).batches([torch.tensor([0, 3])]))
    assert set(active_children()) <= before


def test_subsets_load_as_the_whole_does(arrays: Split, files: Split) -> None:
    for split in (arrays, files):
        check(split, ImageLoader(split.subset(4), "cpu"), [torch.tensor([3, 0])])


def test_padding_is_at_the_bottom_and_right() -> None:
    batch = padded([np.full((2, 5, 3), 7, np.uint8), np.full((4, 3, 3), 9, np.uint8)])
    assert batch.pixels.shape == (2, 3, 4, 5)
    assert batch.sizes.tolist() == [[2, 5], [4, 3]]
    assert batch.pixels.sum().item() == 3 * (10 * 7 + 12 * 9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_to_the_gpu(arrays: Split, files: Split, workers: int) -> None:
    for split in (arrays, files):
        loader = ImageLoader(split, "cuda", workers)
        reference = ImageLoader(split, "cpu")
        for batch, expected in zip(loader.batches(ORDER), reference.batches(ORDER), strict=True):
            assert batch.pixels.is_cuda
            assert batch.sizes.is_cuda
            assert torch.equal(batch.pixels.cpu(), expected.pixels)
            assert torch.equal(batch.sizes.cpu(), expected.sizes)


OPEN_AT_THE_END = """
import os, signal, sys, time
import torch
from multiprocessing import active_children
from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import open_dataset

if __name__ == "__main__":
    loader = ImageLoader(open_dataset(sys.argv[1]).split("train"), "cpu", workers=2)
    batches = loader.batches([torch.tensor([0])] * 50)
    next(batches)
    workers = active_children()
    for worker in workers:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid, number)
    next(batches)
    print([worker.is_alive() for worker in workers], flush=True)
    raise SystemExit(130)
"""


def test_workers_leave_signals_to_the_parent_and_end_with_it(files: Split, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(OPEN_AT_THE_END)
    command = [sys.executable, str(script), str(tmp_path / "files")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[True, True]\n", done.stderr
    assert (done.returncode, done.stderr) == (130, "")
