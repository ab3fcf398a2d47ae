"""Compiled networks: the same training, compiled once each, resumed exactly, and chosen only where it pays."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
import torch
from tiny import tiny_settings

from coarsecon.run.folder import RunFolder
from coarsecon.train import compiled
from coarsecon.train.compiled import COMPILE_MIN_STEPS, should_compile
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.fixture
def graphs(monkeypatch) -> list[torch.fx.GraphModule]:
    """The graphs that a stand-in for the compiler was given; it runs them as they are."""
    given = []

    def backend(graph, inputs):
        given.append(graph)
        return graph.forward

    compile_networks = compiled.compile_networks
    monkeypatch.setattr(
        compiled, "compile_networks", lambda method, device: compile_networks(method, device, backend=backend)
    )
    yield given
    torch.compiler.reset()


def logged(run: RunFolder) -> list[dict]:
    return [{key: row[key] for key in row.keys() - {"images_per_s", "data_wait"}} for row in run.metrics()]


def settings(data, name="maskcon", **run) -> dict:
    return tiny_settings(data, name, run={"precision": "float32", **run})


@pytest.mark.parametrize(("name", "networks"), [("maskcon", 2), ("supcon", 1)])
def test_a_compiled_run_is_the_run_and_compiles_each_network_once(tiny_data, tmp_path, graphs, name, networks):
    plain = pretrain(build_run_spec(settings(tiny_data, name)), tmp_path / "plain")
    assert graphs == []
    run = pretrain(build_run_spec(settings(tiny_data, name, compile=True)), tmp_path / "compiled")
    assert len(graphs) == networks, "neither monitor nor a last batch compiles again"
    for one, other in zip(logged(run), logged(plain), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    names = [sorted(torch.load(each.checkpoint("last"), weights_only=True)["method"]) for each in (run, plain)]
    assert names[0] == names[1]


def test_a_compiled_run_resumes_exactly(tiny_data, tmp_path, graphs):
    straight = pretrain(build_run_spec(settings(tiny_data, compile=True)), tmp_path / "straight")
    half = settings(tiny_data, compile=True)
    half["schedule"] = {**half["schedule"], "epochs": 1}
    pretrain(build_run_spec(half), tmp_path / "halves")
    torch.compiler.reset()
    resumed = pretrain(build_run_spec(settings(tiny_data, compile=True)), tmp_path / "halves", resume=True)
    assert logged(resumed)[-2:] == logged(straight)[-2:]


def test_by_default_long_runs_on_a_gpu_are_compiled(tiny_data):
    assert should_compile(torch.device("cuda"), COMPILE_MIN_STEPS)
    assert not should_compile(torch.device("cuda"), COMPILE_MIN_STEPS - 1)
    assert not should_compile(torch.device("cpu"), 10**9)
    assert build_run_spec(settings(tiny_data)).config.run.compile is False


UNCOMPILED = """
import sys
from pathlib import Path
from tiny import tiny_settings
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

pretrain(build_run_spec(tiny_settings(Path(sys.argv[1]))), Path(sys.argv[2]))
print("torch._inductor.cudagraph_trees" in sys.modules)
"""


def test_a_run_that_is_not_compiled_never_loads_the_compiler(tiny_data, tmp_path):
    command = [sys.executable, "-c", UNCOMPILED, str(tiny_data), str(tmp_path / "run")]
    tests = str(Path(__file__).parents[1] / "support")
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": tests})
    assert done.stdout == "False\n", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not which("g++"), reason="torch compiles for the CPU with a C++ compiler")
def test_the_real_compiler_trains_the_same(tiny_data, tmp_path):
    """Of the method with a single network, which compiles in two thirds of the time."""
    runs = [
        pretrain(build_run_spec(settings(tiny_data, "supce", compile=each)), tmp_path / str(each))
        for each in (False, True)
    ]
    for one, other in zip(*map(logged, runs), strict=True):
        assert one["step"] == other["step"]
        assert one.get("loss", 0) == pytest.approx(other.get("loss", 0), rel=1e-3)
