"""Rows kept on disk: made once, taken up where a killed process stopped, and not piled up."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from coarsecon.errors import CoarseconError
from coarsecon.run.cache import MAX_FILES_PER_NAME, cached_rows, read_rows, remove_dead
from coarsecon.runtime.progress import Reporter

ROWS = torch.arange(60, dtype=torch.float32).view(20, 3)


def maker(starts: list[int], piece: int = 4, until: int = 20):
    """`rows` of ROWS in pieces, noting where it was started; fails at row `until`."""

    def rows(start):
        starts.append(start)
        for first in range(start, len(ROWS), piece):
            if first >= until:
                raise RuntimeError("stopped")
            yield ROWS[first : first + piece]

    return rows


def cached(path, rows, piece=4):
    return cached_rows(path, len(ROWS), rows, piece=piece, reporter=Reporter())


def test_rows_are_made_once_and_leave_one_file(tmp_path):
    starts: list[int] = []
    path = tmp_path / "new" / "test-a-b.npy"
    for _ in range(2):
        assert torch.equal(cached(path, maker(starts)), ROWS)
    assert starts == [0]
    assert [file.name for file in path.parent.iterdir()] == ["test-a-b.npy"]
    assert np.array_equal(np.load(path), ROWS.numpy())


def test_what_was_made_before_a_failure_is_not_made_again(tmp_path):
    starts: list[int] = []
    path = tmp_path / "rows.npy"
    with pytest.raises(RuntimeError):
        cached(path, maker(starts, until=12))
    assert not path.exists()
    assert torch.equal(cached(path, maker(starts)), ROWS)
    assert starts == [0, 12]


@pytest.mark.parametrize(
    ("cut", "start"), [(0, 0), (5, 0), (140, 0), (180, 4), (1000, 16)], ids=["empty", "header", "row", "piece", "much"]
)
def test_a_file_cut_anywhere_is_continued_from_a_whole_piece(tmp_path, cut, start):
    starts: list[int] = []
    path, partial = tmp_path / "rows.npy", tmp_path / ".rows.npy.partial"
    with pytest.raises(RuntimeError):
        cached(path, maker(starts, until=16))
    partial.write_bytes(partial.read_bytes()[:cut])
    assert torch.equal(cached(path, maker(starts)), ROWS)
    assert starts == [0, start]


def test_a_leftover_of_other_rows_is_begun_anew(tmp_path):
    starts: list[int] = []
    path = tmp_path / "rows.npy"
    for junk in (b"junk" * 99, np.lib.format.MAGIC_PREFIX + b"\x01\x00"):
        (tmp_path / ".rows.npy.partial").write_bytes(junk)
        path.unlink(missing_ok=True)
        assert torch.equal(cached(path, maker(starts)), ROWS)
    assert starts == [0, 0]


@pytest.mark.parametrize("content", [b"", b"damaged", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_made_anew(tmp_path, content):
    path = tmp_path / "rows.npy"
    path.write_bytes(content)
    assert read_rows(path, 20) is None
    assert torch.equal(cached(path, maker([])), ROWS)
    assert read_rows(path, 19) is None


def test_pickled_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([{}] * 20, dtype=object), allow_pickle=True)
    assert read_rows(tmp_path / "rows.npy", 20) is None


def test_a_killed_process_is_continued(tmp_path):
    path = tmp_path / "rows.npy"
    script = (
        "import os, signal, sys; from pathlib import Path; from test_cache import *\n"
        "def rows(start):\n"
        "    yield ROWS[:4]; yield ROWS[4:8]; os.kill(os.getpid(), signal.SIGKILL)\n"
        f"cached(Path({str(path)!r}), rows)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}  # noqa: PTH120
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not path.exists()
    starts: list[int] = []
    assert torch.equal(cached(path, maker(starts)), ROWS)
    assert starts == [8]


def test_a_second_process_waits_for_the_first_and_makes_nothing(tmp_path):
    pytest.importorskip("fcntl")
    path, starts, waited = tmp_path / "rows.npy", [], []
    begun = threading.Event()

    class Told(Reporter):
        def info(self, text: str) -> None:
            waited.append(text)

    def slow(start):
        for row in ROWS.split(4):
            begun.set()
            time.sleep(0.05)
            yield row

    first = threading.Thread(target=cached, args=(path, slow))
    first.start()
    begun.wait()
    assert torch.equal(cached_rows(path, len(ROWS), maker(starts), piece=4, reporter=Told()), ROWS)
    first.join()
    assert not starts
    assert len(waited) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["rows.npy"]


def test_a_disk_that_refuses_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CoarseconError, match="cannot be written"):
        cached(tmp_path / "file" / "rows.npy", maker([]))


NEW, OTHER, OLD, CONTENT = "a" * 12, "b" * 12, "c" * 12, "0123456789ab"


def test_files_of_older_encoders_go_and_of_one_name_the_last_used_stay(tmp_path):
    names = [f"files-photos-{i:012d}-{NEW}.npy" for i in range(MAX_FILES_PER_NAME + 3)]
    others = [f"test-{CONTENT}-{NEW}.npy", f"test-{CONTENT}-{OTHER}.npy"]
    dead = [f"test-{CONTENT}-{OLD}.npy"]
    folder = tmp_path / "features"
    for age, name in enumerate([*names, *others, *dead]):
        cached(folder / name, maker([]))
        os.utime(folder / name, (1000 + age, 1000 + age))
    with pytest.raises(RuntimeError):
        cached(folder / f"train-{CONTENT}-{OLD}.npy", maker([], until=8))
    assert (folder / f".train-{CONTENT}-{OLD}.npy.partial").exists()
    remove_dead(folder, {NEW, OTHER})
    assert {file.name for file in folder.iterdir()} == {*names[3:], *others}
    remove_dead(tmp_path / "nowhere", {NEW})


def test_files_that_the_tool_did_not_make_survive(tmp_path):
    """Whatever a user keeps in the folder of features stays there, also under names like the tool's."""
    users = [
        "mine.npy", "embeddings.safetensors", "download.zip.partial", ".hidden.npy.partial", "test-a-b.npy",
        f"test-{CONTENT}-{OLD}.npy", f".train-{CONTENT}-{OLD}.npy.partial", "notes.txt",
    ]  # fmt: skip
    folder = tmp_path / "features"
    cached(folder / f"made-{CONTENT}-{OLD}.npy", maker([]))
    for name in users:
        (folder / name).write_text("user")
    remove_dead(folder, {NEW})
    assert {file.name for file in folder.iterdir()} == {*users}


def test_nothing_is_removed_through_a_link(tmp_path):
    name = f"test-{CONTENT}-{OLD}.npy"
    (tmp_path / "elsewhere").mkdir()
    cached(tmp_path / "elsewhere" / name, maker([]))
    (tmp_path / "features").symlink_to(tmp_path / "elsewhere")
    remove_dead(tmp_path / "features", {NEW})
    assert (tmp_path / "elsewhere" / name).is_file()

    cached(tmp_path / "own" / name, maker([]))
    (tmp_path / "own" / name).unlink()
    (tmp_path / "own" / name).symlink_to(tmp_path / "elsewhere" / name)
    remove_dead(tmp_path / "own", {NEW})
    assert (tmp_path / "own" / name).is_symlink()
    assert (tmp_path / "elsewhere" / name).is_file()


def test_rows_are_not_written_through_a_link(tmp_path):
    (tmp_path / "user.bin").write_bytes(b"kept")
    (tmp_path / ".rows.npy.partial").symlink_to(tmp_path / "user.bin")
    with pytest.raises(CoarseconError, match="cannot be written"):
        cached(tmp_path / "rows.npy", maker([]))
    assert (tmp_path / "user.bin").read_bytes() == b"kept"
