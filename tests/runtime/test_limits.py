"""Few open files and little shared memory: worker processes are left out with a warning, and nothing hangs."""

import numpy as np
import pytest
import torch
import yaml
from launch import python
from PIL import Image
from tiny import tiny_settings

from coarsecon.data.prepared import loader
from coarsecon.data.prepared.loader import CopiedBatch, DecodedFiles, ImageLoader, WorkerFiles
from coarsecon.data.prepared.store import open_dataset
from coarsecon.runtime import limits
from coarsecon.runtime.progress import Reporter

MOUNT = """
import ctypes, os, subprocess
CLONE_NEWNS = 0x20000
mount = ["mount", "-t", "tmpfs", "-o", OPTIONS, "none", "/dev/shm"]
libc = ctypes.CDLL(None, use_errno=True)
commands = ["mount", "--make-rprivate", "/"], mount
if libc.unshare(CLONE_NEWNS) or any(subprocess.run(command).returncode for command in commands):
    raise SystemExit(77)
"""
FEW_FILES = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (NUMBER, NUMBER))\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A prepared dataset of 48 image files."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    for number in range(48):
        folder = root / "photos" / ("red" if number % 2 else "blue")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (90 + number, 80, 3), dtype=np.uint8)).save(folder / f"{number}.jpg")
    from coarsecon.cli.main import run

    with pytest.raises(SystemExit) as done:
        run(["prepare", "folder", "--source", str(root / "photos"), "--size", "72", "--out", str(root / "data")])
    assert not done.value.code
    return root / "data"


def pretrain(limit, files, tmp_path, *, retrieve=False):
    """How `pretrain` with two workers ends after the code `limit`, and `retrieve` after it."""
    settings = tiny_settings(files, "simclr", data={"workers": 2}, schedule={"epochs": 1, "warmup_epochs": 0},
                             run={"batch_size": 16, "monitor_every": 0})  # fmt: skip
    config, out = tmp_path / "c.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump(settings))
    commands = [["pretrain", "--config", str(config), "--out", str(out)]]
    commands += [["retrieve", str(out), "--split", "train", "--workers", "2", "--device", "cpu"]] * retrieve
    code = (
        f"{limit}\nfrom coarsecon.cli.main import run\n"
        f"for words in {commands}:\n"
        "    try: run(words)\n"
        "    except SystemExit as end: print('ENDED', words[0], end.code)\n"
    )
    done = python("-c", code, timeout=60)
    if done.code == 77:
        pytest.skip("no file system can be mounted here")
    assert [line for line in done.out.splitlines() if line.startswith("ENDED")] == [
        f"ENDED {words[0]} 0" for words in commands
    ], done.err
    return done.err


@pytest.mark.parametrize("number", [20, 40])
def test_training_with_few_open_files_goes_without_worker_processes(files, tmp_path, number):
    said = pretrain(FEW_FILES.replace("NUMBER", str(number)), files, tmp_path)
    assert f"WARNING: the limit of {number} open files is too low for 2 worker processes; raise it with `ulimit" in said


@pytest.mark.parametrize("options", ["size=64k", "size=4k", "ro"])
def test_without_room_for_semaphores_there_are_no_worker_processes(files, tmp_path, options):
    said = pretrain(f"OPTIONS = {options!r}\n{MOUNT}", files, tmp_path, retrieve=True)
    assert "WARNING: worker processes need semaphores in /dev/shm" in said
    assert "`--shm-size=1g`" in said


def test_workers_send_copies_where_batches_do_not_fit_into_shared_memory(files, tmp_path):
    assert "WARNING" not in pretrain(f"OPTIONS = 'size=600k'\n{MOUNT}", files, tmp_path, retrieve=True)


def test_batches_that_do_not_fit_are_copied_and_equal(files, monkeypatch):
    split = open_dataset(files).split("train")
    ahead = WorkerFiles(DecodedFiles(split.files), workers=2)
    monkeypatch.setattr(loader, "fits_shared_memory", lambda size, workers: True)
    shared = ahead.__getitems__([0, 1])
    monkeypatch.setattr(loader, "fits_shared_memory", lambda size, workers: False)
    copied = ahead.__getitems__([0, 1])
    assert isinstance(copied, CopiedBatch)
    assert torch.equal(copied.tensors().pixels, shared.pixels)
    assert torch.equal(copied.tensors().sizes, shared.sizes)


def test_shared_memory_must_hold_the_batches_of_all_workers_twice(tmp_path):
    import os

    state = os.statvfs(tmp_path)
    free = state.f_bavail * state.f_frsize
    assert limits.fits_shared_memory(free // 100, 2, tmp_path)
    assert not limits.fits_shared_memory(free // 11, 2, tmp_path)
    assert not limits.fits_shared_memory(1, 2, tmp_path / "missing")


def test_the_warning_names_the_remedy_and_arrays_need_no_workers(files, tiny_data, monkeypatch):
    said = []

    class Said(Reporter):
        def info(self, text):
            said.append(text)

    monkeypatch.setattr(loader, "workers_problem", lambda workers: "too few")
    assert ImageLoader(open_dataset(files).split("train"), "cpu", 2, reporter=Said()).workers == 0
    assert said == ["WARNING: too few. Images are decoded without worker processes, slowly"]
    assert ImageLoader(open_dataset(tiny_data).split("train"), "cpu", 2, reporter=Said()).workers == 2


def test_a_dead_worker_is_reported_in_a_sentence(files, monkeypatch):
    from coarsecon.errors import CoarseconError

    def dies(self, indices):
        import os

        os._exit(1)

    monkeypatch.setattr(WorkerFiles, "__getitems__", dies)
    loaded = ImageLoader(open_dataset(files).split("train"), "cpu", 1)
    with pytest.raises(CoarseconError, match="a worker process that decodes images died"):
        list(loaded.batches([torch.tensor([0])]))


def test_prepare_goes_without_worker_processes_too(tmp_path):
    code = (
        f"OPTIONS = 'size=4k'\n{MOUNT}\nfrom coarsecon.data.prepared.convert import pool_for\n"
        "with pool_for(4) as pool: print(type(pool).__name__, pool.submit(sum, [1, 2]).result())"
    )
    done = python("-c", code, timeout=60)
    if done.code == 77:
        pytest.skip("no file system can be mounted here")
    assert done.out.split() == ["ThreadPoolExecutor", "3"], done.err
