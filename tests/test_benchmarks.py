"""The benchmark of the losses runs, and what it measures at full size stays within the bars of memory."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

LOSSES = Path(__file__).resolve().parents[1] / "benchmarks" / "losses.py"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
def test_the_losses_keep_their_bars_of_memory_at_full_size():
    """256 x 65,536 x 128: below 40% of the dense way; 4096 images of two views: 1.5 GB above the inputs."""
    done = subprocess.run([sys.executable, LOSSES, "--repeats", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "N=256, K=65536, D=128; SupCon B=4096, V=2" in done.stdout
    megabytes = {
        name: float(mb) for name, mb in re.findall(r"^\| ([\w, ]+) \|.*\| (\d+) \|[^|]*\|$", done.stdout, re.M)
    }
    dense, ours, supcon = (megabytes[name] for name in ("MaskCon, dense", "MaskCon, ours", "SupCon, ours"))
    assert dense > 4 * 256 * 65_536 * 4 / 1e6, "the count sees at least four matrices over batch and queue"
    assert ours < 0.4 * dense
    assert 8192 * 8192 * 4 / 1e6 < supcon < 1500
