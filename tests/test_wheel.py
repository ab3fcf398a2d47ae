"""The wheel: everything a user needs travels in it, and the command line runs from it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_code_labels_recipes_and_pages_alone(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    assert all(name.startswith("coarsecon/") for name in package)
    assert {"coarsecon/coarse_labels/cifartoy.csv", "coarsecon/recipes/maskcon-cifar100.yaml"} <= package
    tracked = {str(path.relative_to(ROOT)) for path in (ROOT / "coarsecon").rglob("*") if path.is_file()}
    assert {name for name in tracked if "__pycache__" not in name} <= package


@pytest.mark.slow
def test_the_command_line_runs_from_the_wheel(wheel, tmp_path):
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def coarsecon(*arguments: str) -> str:
        command = [sys.executable, "-m", "coarsecon", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import coarsecon; print(coarsecon.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    assert "maskcon" in coarsecon("methods")
    assert "cifartoy-good" in coarsecon("datasets")
    assert "vehicles" in coarsecon("datasets", "cifartoy-good")
    coarsecon("prepare", "toy", "--out", "toy")
    tiny = '{"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16], "stem_type": "deep", "stem_width": 8}'
    coarsecon("pretrain", "--data", "toy", "--limit", "64", "--batch-size", "32", "--epochs", "1", "--out", "run",
              "--set", f"backbone.args={tiny}", "--set", "run.monitor_images=100")  # fmt: skip
    coarsecon("retrieve", "run", "--html", "gallery.html")
    assert (tmp_path / "gallery.html").exists()
