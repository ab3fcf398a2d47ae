"""Runs on several ranks as users start them: by torchrun, on one machine and on two that only a wire connects."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from tiny import TINY_BACKBONE, tiny_settings

from coarsecon.config import BackboneSettings
from coarsecon.nn.backbone import create_backbone
from coarsecon.run.folder import RunFolder
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

EPOCHS = 40
NODES = {"one": "10.77.0.1", "two": "10.77.0.2"}


@pytest.fixture
def config(tiny_data: Path, tmp_path: Path) -> Path:
    """Settings of a run of some seconds, long enough to be killed in the midst of."""
    schedule = {"epochs": EPOCHS, "warmup_epochs": 0}
    run = {"precision": "float32", "monitor_every": 20}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tiny_settings(tiny_data, schedule=schedule, run=run)))
    return file


def torchrun(
    config: Path, out: Path, *options: str, launcher: tuple[str, ...] = (), **started: Any
) -> subprocess.Popen:
    words = [*launcher, sys.executable, "-m", "torch.distributed.run", *options, "-m", "coarsecon", "pretrain"]
    words += ["--config", str(config), "--out", str(out)] + ["--resume"] * (out / "config.yaml").exists()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **started.pop("env", {})}
    return subprocess.Popen(
        words, env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def wait_for(done: Callable[[], bool], process: subprocess.Popen, seconds: float = 120) -> None:
    """Until `done`; fails with the output of `process` if that ends first, or time does."""
    end = time.monotonic() + seconds
    while not done():
        ended = process.poll() is not None
        if ended or time.monotonic() > end:
            os.killpg(process.pid, signal.SIGKILL) if not ended else None
            pytest.fail(process.communicate()[0])
        time.sleep(0.05)


def epochs_logged(out: Path) -> int:
    return max((row["epoch"] for row in RunFolder(out).metrics()), default=0)


def assert_whole(out: Path) -> None:
    """Every step was logged once, in order, and the run ended."""
    steps = [row["step"] for row in RunFolder(out).metrics() if "loss" in row]
    assert steps == sorted(set(steps))
    assert steps[-1] == 3 * EPOCHS
    assert RunFolder(out).encoder().exists()


@pytest.mark.slow
def test_a_run_killed_on_two_ranks_goes_on_with_one(coarsecon, config, tmp_path):
    out = tmp_path / "run"
    running = torchrun(config, out, "--standalone", "--nproc-per-node=2")
    wait_for(lambda: epochs_logged(out) >= 3 and RunFolder(out).checkpoint("last").exists(), running)
    os.killpg(running.pid, signal.SIGKILL)
    subprocess.run(["pkill", "-9", "-f", str(out)], check=False)  # torchrun's children have sessions of their own
    running.communicate()
    assert 3 <= epochs_logged(out) < EPOCHS
    assert '"ranks": 2' in RunFolder(out).environment_file.read_text()
    done = coarsecon("pretrain", "--out", out, "--resume")
    assert done.code == 0, done.err
    assert_whole(out)


@pytest.mark.slow
def test_a_run_from_weights_resumed_on_two_ranks_is_compared_with_them(tiny_data, tmp_path, monkeypatch):
    torch.manual_seed(3)
    weights, out, config = tmp_path / "weights.safetensors", tmp_path / "run", tmp_path / "config.yaml"
    save_file(create_backbone(BackboneSettings(**TINY_BACKBONE), 32).state_dict(), weights)
    sections = {"backbone": {"weights": str(weights)}, "data": {"validation": 0.0}, "run": {"precision": "float32"}}
    settings = tiny_settings(tiny_data, **sections)
    config.write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(Loop, "_finish_epoch", lambda loop, epoch: loop.save("last") if not epoch else interrupt())
    with pytest.raises(KeyboardInterrupt):
        pretrain(build_run_spec(settings), out)
    reported = torchrun(config, out, "--standalone", "--nproc-per-node=2").communicate(timeout=300)[0]
    assert reported.count("fine Recall@1 within coarse classes on test: frozen") == 1, reported


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_what_rank_0_refuses_ends_all_with_one_message(config, tmp_path):
    out = tmp_path / "taken"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    running = torchrun(config, out, "--standalone", "--nproc-per-node=2")
    reported = running.communicate(timeout=120)[0]
    assert running.returncode != 0
    assert reported.count("error: ") == 1, reported
    assert "holds other files" in reported


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def wire() -> Iterator[None]:
    """Two network namespaces that reach each other by a virtual link and nothing else.

    Where they cannot be made the test is skipped, unless COARSECON_TEST_NODES is set: `.ci/run` does so where they can.
    """
    try:
        for name in NODES:
            ip("netns", "add", f"coarsecon-{name}")
        ip("link", "add", "wire-one", "netns", "coarsecon-one", "type", "veth",
           "peer", "name", "wire-two", "netns", "coarsecon-two")  # fmt: skip
        for name, address in NODES.items():
            space = ("-n", f"coarsecon-{name}")
            ip(*space, "address", "add", f"{address}/24", "dev", f"wire-{name}")
            ip(*space, "link", "set", f"wire-{name}", "up")
            ip(*space, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError) as error:
        _take_down()
        if os.environ.get("COARSECON_TEST_NODES"):
            raise
        reason = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        pytest.skip(f"needs iproute2, and the right to make network namespaces ({reason})")
    yield
    _take_down()


def _take_down() -> None:
    for name in NODES:
        kill_node(name)
        subprocess.run(["ip", "netns", "delete", f"coarsecon-{name}"], check=False, capture_output=True)


def kill_node(name: str) -> None:
    found = subprocess.run(["ip", "netns", "pids", f"coarsecon-{name}"], check=False, capture_output=True, text=True)
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)


def start_node(name: str, config: Path, out: Path) -> subprocess.Popen:
    return torchrun(
        config, out, "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=run",
        f"--rdzv-endpoint={NODES['one']}:29400", f"--local-addr={NODES[name]}",
        f"--rdzv-conf=is_host={name == 'one'}",
        launcher=("ip", "netns", "exec", f"coarsecon-{name}"), env={"GLOO_SOCKET_IFNAME": f"wire-{name}"},
    )  # fmt: skip


@pytest.mark.slow
def test_when_one_of_two_nodes_dies_the_other_ends_clearly_and_the_run_can_be_finished(wire, config, tmp_path):
    """The one that dies is the one where all of them meet."""
    out = tmp_path / "run"
    nodes = {name: start_node(name, config, out) for name in NODES}
    wait_for(lambda: epochs_logged(out) >= 3 and RunFolder(out).checkpoint("last").exists(), nodes["one"])
    kill_node("one")
    reported = nodes["two"].communicate(timeout=60)[0]  # a minute, and no more
    assert nodes["two"].returncode != 0
    assert "lost the connection to another rank" in reported, reported
    assert "--resume" in reported
    nodes["one"].communicate()
    assert epochs_logged(out) < EPOCHS

    nodes = {name: start_node(name, config, out) for name in NODES}
    for name, node in nodes.items():
        reported = node.communicate(timeout=180)[0]
        assert node.returncode == 0, f"{name}: {reported}"
    assert_whole(out)
