"""A preparation that was killed, or failed late, goes on where it stopped, and ends with the same dataset."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coarsecon.data.prepare import journal, preparation
from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepare.preparation import Writing
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.progress import Progress, Reporter

SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from coarsecon.data.prepare import journal
from coarsecon.data.prepared import convert
from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import SourceData, SplitData

def slow(self, file, call=convert.Conversion.__call__):
    time.sleep(0.01)
    return call(self, file)

convert.Conversion.__call__ = slow
journal.PIECE = 8
files = sorted(Path(sys.argv[1]).iterdir())
split = SplitData({"coarse": np.arange(len(files)) % 2}, files, [file.name for file in files])
write_dataset(sys.argv[2], SourceData("photos", int(sys.argv[3]), {"coarse": ["a", "b"]}, {"train": split}))
"""


@pytest.fixture
def photos(tmp_path: Path, save_image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> SourceData:
    """120 photos, converted in pieces of eight."""
    monkeypatch.setattr(journal, "PIECE", 8)
    monkeypatch.setattr(preparation, "MIN_KEPT_IMAGES", 16)
    files = [save_image(tmp_path / "photos" / f"{i:03d}.jpg", (120, 100), i) for i in range(120)]
    split = SplitData({"coarse": np.arange(120) % 2}, files, [file.name for file in files])
    return SourceData("photos", 80, {"coarse": ["a", "b"]}, {"train": split})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def converted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is converted from here on, by one worker."""
    seen: list[Path] = []
    call = journal.Conversion.__call__

    def watched(self: journal.Conversion, file: Path) -> object:
        seen.append(file)
        return call(self, file)

    monkeypatch.setattr(journal.Conversion, "__call__", watched)
    return seen


@pytest.fixture
def killed(tmp_path: Path, photos: SourceData) -> Iterator[Callable[[int], int]]:
    """Starts to prepare for a size in a process of its own, kills that, and returns how many pieces it finished."""

    def kill(size: int) -> int:
        arguments = [sys.executable, "-c", SLOW, tmp_path / "photos", tmp_path / "out", str(size)]
        process = subprocess.Popen(arguments)
        log = tmp_path / ".out.partial" / "train.journal"
        deadline = time.monotonic() + 60
        while not (log.exists() and log.read_bytes().count(b"\n") >= 3):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
        assert len(workers) == 2
        while any(map(_is_alive, workers)):
            assert time.monotonic() < deadline, "workers outlive their parent"
            time.sleep(0.01)
        return log.read_bytes().count(b"\n")

    return kill


def _is_alive(pid: str) -> bool:
    """Whether some thread is left: the first may be gone while another still holds the files open."""
    return any(_is_running(thread) for thread in Path("/proc").glob(f"{pid}/task/*"))


def _is_running(thread: Path) -> bool:
    try:
        return "State:\tZ" not in (thread / "status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for workers in /proc")
@pytest.mark.parametrize("size", [16, 80], ids=["array", "files"])
def test_after_a_kill_the_same_command_goes_on(
    tmp_path: Path, photos: SourceData, killed: Callable[[int], int], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = killed(size)
    assert 3 <= pieces < 15
    assert not (tmp_path / "out").exists()
    seen = converted(monkeypatch)
    write_dataset(tmp_path / "out", replace(photos, size=size), workers=1)
    assert sorted(seen) == list(photos.splits["train"].images)[8 * pieces :]
    write_dataset(tmp_path / "whole", replace(photos, size=size), workers=3)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "whole", "photos"}


class Interrupting(Reporter, Progress):
    """Ctrl-C after so many images."""

    def __init__(self, at: int) -> None:
        self.left, self.lines = at, []  # type: ignore[var-annotated]

    def info(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, *_: object, **__: object):  # type: ignore[no-untyped-def, override]
        from contextlib import nullcontext

        return nullcontext(self)

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.left -= amount
        if self.left == 0:
            raise KeyboardInterrupt


def interrupt(out: Path, data: SourceData, at: int) -> list[str]:
    reporter = Interrupting(at)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(out, data, workers=1, reporter=reporter)
    return reporter.lines


def test_ctrl_c_keeps_what_is_worth_it_and_says_so(tmp_path: Path, photos: SourceData) -> None:
    assert interrupt(tmp_path / "out", photos, 15) == []
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert interrupt(tmp_path / "out", photos, 40) == ["40 images are converted; rerun the command to resume"]
    assert {path.name for path in tmp_path.iterdir()} == {"photos", ".out.partial"}


@pytest.mark.parametrize("change", ["journal", "copy", "original", "size"])
def test_what_is_not_as_it_was_is_made_again(
    tmp_path: Path, photos: SourceData, change: str, monkeypatch: pytest.MonkeyPatch, save_image: Callable[..., Path]
) -> None:
    interrupt(tmp_path / "out", photos, 40)
    partial = tmp_path / ".out.partial"
    if change == "journal":
        (partial / "train.journal").write_bytes((partial / "train.journal").read_bytes()[:-9])
    elif change == "copy":
        copy = partial / "images" / "train" / "0000" / "000035.jpg"
        copy.write_bytes(copy.read_bytes()[:-9])
    elif change == "original":
        save_image(tmp_path / "photos" / "035.jpg", (90, 130), 1000)
    else:
        photos = replace(photos, size=72)
    seen = converted(monkeypatch)
    write_dataset(tmp_path / "out", photos, workers=1)
    assert len(seen) == (120 if change == "size" else 120 - 32)
    write_dataset(tmp_path / "whole", photos)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("size", [16, 80], ids=["array", "files"])
def test_skipping_broken_images_goes_on_and_leaves_labels_aligned(
    tmp_path: Path, photos: SourceData, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = replace(photos, size=size)
    files = list(photos.splits["train"].images)
    for i in (3, 64):
        Path(str(files[i])).write_bytes(b"no image")
    with pytest.raises(
        InputError, match=r"^photos: 2 images cannot be read, the first: .*003.jpg: not a read.*set skip_broken"
    ):
        write_dataset(tmp_path / "out", photos, workers=1)
    assert not (tmp_path / "out").exists()
    seen = converted(monkeypatch)
    dataset = write_dataset(tmp_path / "out", photos, workers=1, writing=Writing(skip_broken=True))
    assert seen == []
    assert (dataset.info.splits["train"].count, dataset.info.splits["train"].broken) == (118, 2)
    assert "2 broken images were left out; broken.csv lists them" in dataset.info.notes
    listed = (tmp_path / "out" / "broken.csv").read_text().splitlines()
    assert listed[0] == "split,name,reason"
    assert [line.split(",")[1] for line in listed[1:]] == ["003.jpg", "064.jpg"]
    kept = [i for i in range(120) if i not in (3, 64)]
    good = {name: replace(split, images=[files[i] for i in kept], names=[f"{i:03d}.jpg" for i in kept],
                          labels={"coarse": np.array(kept) % 2}) for name, split in photos.splits.items()}  # fmt: skip
    expected = write_dataset(tmp_path / "good", replace(photos, splits=good)).split("train")
    found = dataset.split("train")
    assert found.names == expected.names
    assert found.labels["coarse"].tolist() == expected.labels["coarse"].tolist()
    for i in (0, 2, 3, 62, 63, 117):
        np.testing.assert_array_equal(found.image(i), expected.image(i))
    write_dataset(tmp_path / "two", photos, workers=3, writing=Writing(skip_broken=True))
    assert contents(tmp_path / "two") == contents(tmp_path / "out")


def test_a_split_without_a_readable_image_is_an_error(tmp_path: Path, photos: SourceData) -> None:
    broken = SplitData({"coarse": np.zeros(2)}, [b"no image", b"nor this"])
    data = replace(photos, splits={**photos.splits, "test": broken})
    with pytest.raises(InputError, match=r"none of the 2 test images can be read: image 1: not a readable image"):
        write_dataset(tmp_path / "out", data, writing=Writing(skip_broken=True))


def test_two_commands_do_not_write_to_one_place(tmp_path: Path, photos: SourceData) -> None:
    class Nosy(Reporter):
        def progress(self, *_: object, **__: object):  # type: ignore[no-untyped-def, override]
            with pytest.raises(InputError, match="another process writes there"):
                write_dataset(tmp_path / "out", photos)
            return super().progress("")

    assert write_dataset(tmp_path / "out", photos, reporter=Nosy()).info.name == "photos"


def test_a_worker_that_dies_is_an_error(tmp_path: Path, photos: SourceData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal.Conversion, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(CoarseconError, match="a worker process died, perhaps for lack of memory"):
        write_dataset(tmp_path / "out", photos, workers=2)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
