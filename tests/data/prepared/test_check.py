"""A prepared dataset that is not as it was written, or holds a picture twice, is reported."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepared.check import check_dataset
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.runtime.progress import Progress, Reporter


@pytest.fixture(params=["array", "files"])
def doubled(request: pytest.FixtureRequest, tmp_path: Path, save_image: Callable[..., Path]) -> PreparedDataset:
    """Six training and three test images; train 1 and 4, test 0 and test 2 show the same, labels apart."""
    seeds = {"train": [0, 1, 2, 3, 1, 5], "test": [1, 7, 1]}
    splits = {}
    for name, numbers in seeds.items():
        files = [save_image(tmp_path / "photos" / name / f"{i}.png", (90, 80), seed) for i, seed in enumerate(numbers)]
        labels = {"coarse": np.array([0, 1, 0, -1, 1, 0] if name == "train" else [0, 1, 1])}
        splits[name] = SplitData(labels, files, [f"{name}{i}" for i in range(len(files))])
    size = 16 if request.param == "array" else 80
    return write_dataset(tmp_path / "out", SourceData("doubled", size, {"coarse": ["a", "b"]}, splits))


def test_twins_and_leaks_are_found_by_content(doubled: PreparedDataset) -> None:
    found = check_dataset(doubled)
    assert found.is_whole
    assert found.duplicates == [[("train", 1), ("train", 4), ("test", 0), ("test", 2)]]
    assert found.leaks == {("train", "test"): 2}
    assert found.contradictions == 1
    assert [(split.count, split.repeats) for split in found.splits.values()] == [(6, 1), (3, 1)]
    assert found.splits["train"].unknown == {"coarse": 1}


def test_every_kind_of_damage_is_found(doubled: PreparedDataset) -> None:
    split = doubled.splits["train"]
    file = doubled.root / "train.safetensors" if split.files is None else split.files[2]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if split.files is None else content[:-40])
    found = check_dataset(open_dataset(doubled.root))
    assert not found.is_whole
    assert not found.splits["train"].is_as_written
    assert found.splits["test"].is_as_written
    assert len(found.splits["train"].broken) == (doubled.info.form == "files")


def test_the_number_of_workers_does_not_matter(doubled: PreparedDataset) -> None:
    assert check_dataset(doubled, workers=1) == check_dataset(doubled, workers=3)


@pytest.mark.parametrize("doubled", ["files"], indirect=True)
def test_copies_are_read_for_their_checksum_while_progress_is_told(
    doubled: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once more afterwards, in silence, when a large set has left the memory of the system."""
    reported: list[int] = []
    behind: list[int] = []

    class Telling(Reporter):
        @contextmanager
        def progress(self, *_: Any, **__: Any) -> Iterator[Progress]:
            reported.append(0)
            yield Progress()
            reported.clear()

    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: (behind.append(len(reported)), read(file))[1])
    assert check_dataset(doubled, workers=1, reporter=Telling(), chunk_size=2).is_whole
    assert behind == [1] * 9


def test_what_skip_broken_left_out_is_no_damage(tmp_path: Path, array_data: SourceData) -> None:
    from coarsecon.data.prepare.preparation import Writing

    train = replace(array_data.splits["train"], images=[b"broken"] * 3 + [PNG] * 7)
    data = replace(array_data, splits={"train": train})
    assert check_dataset(write_dataset(tmp_path / "out", data, writing=Writing(skip_broken=True))).is_whole


def _png() -> bytes:
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.new("RGB", (9, 9), "red").save(out, "PNG")
    return out.getvalue()


PNG = _png()
