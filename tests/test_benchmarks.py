"""Every benchmark starts and is run by `make bench`; the losses stay within their memory limits at full size."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_starts(path):
    done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


def test_make_bench_runs_every_benchmark():
    printed = subprocess.run(["make", "-n", "bench"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loop = re.search(r"for each in ([\w ]+); do", printed)
    assert loop
    assert sorted(loop[1].split()) == [path.stem for path in BENCHMARKS]
    table = re.findall(r"^\| `(\w+)\.py`", (ROOT / "benchmarks" / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(table) == [path.stem for path in BENCHMARKS]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory of a process is available on Linux")
def test_losses_stay_within_their_memory_limits_at_full_size():
    """256 x 65,536 x 128: below 40% of the dense memory; 4096 images with two views: below 1.5 GB."""
    command = [sys.executable, ROOT / "benchmarks" / "losses.py", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "N=256, K=65536, D=128; SupCon B=4096, V=2" in done.stdout
    megabytes = {
        name: float(mb) for name, mb in re.findall(r"^\| ([\w, ]+) \|.*\| (\d+) \|[^|]*\|$", done.stdout, re.M)
    }
    dense, ours, supcon = (megabytes[name] for name in ("MaskCon, dense", "MaskCon, ours", "SupCon, ours"))
    assert dense > 4 * 256 * 65_536 * 4 / 1e6, "at least four matrices over batch and queue are counted"
    assert ours < 0.4 * dense
    assert 8192 * 8192 * 4 / 1e6 < supcon < 1500
