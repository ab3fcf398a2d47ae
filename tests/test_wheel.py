"""The wheel: everything a user needs travels in it, and the command line runs from it."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from coarsecon import __version__

ROOT = Path(__file__).resolve().parents[1]


def build(target: str, project: Path, out: Path) -> Path:
    """The wheel or sdist of a project, in `out`."""
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """Built from the unpacked sdist, as an installer does it."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    return build("wheel", next(unpacked.iterdir()), tmp_path_factory.mktemp("dist"))


def interpreters() -> list[str]:
    """Every Python at hand that may run this: on the path, and of pyenv."""
    lowest = int(re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())[1])
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [Path(path) for minor in range(lowest, 20) if (path := shutil.which(f"python3.{minor}"))]
    found += [path for minor in range(lowest, 20) for path in pyenv.glob(f"3.{minor}.*/bin/python3.{minor}")]
    return [str(path) for path in {path.name: path for path in found}.values()]


@pytest.mark.slow
def test_the_wheel_holds_code_labels_recipes_and_pages_alone(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    assert all(name.startswith("coarsecon/") for name in package)
    assert {"coarsecon/coarse_labels/cifartoy.csv", "coarsecon/recipes/maskcon-cifar100.yaml"} <= package
    tracked = {str(path.relative_to(ROOT)) for path in (ROOT / "coarsecon").rglob("*") if path.is_file()}
    assert {name for name in tracked if "__pycache__" not in name} <= package


@pytest.mark.slow
def test_the_sdist_holds_what_tests_and_documentation_need(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"mkdocs.yml", "Makefile", "CITATION.cff", "docs/hooks.py", "tests/formats/run-1/config.yaml"} <= names
    assert {"coarse_labels/cifartoy.csv", "benchmarks/RESULTS.md", "plugins/coarsecon-dcl/pyproject.toml"} <= names


@pytest.mark.slow
def test_the_version_stands_in_one_place_and_types_are_shipped(wheel):
    stated = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert __version__ == stated
    assert wheel.name == f"coarsecon-{stated}-py3-none-any.whl"
    literal = f'"{stated}"'
    assert not [path for path in (ROOT / "coarsecon").rglob("*.py") if literal in path.read_text()]
    assert "coarsecon/py.typed" in zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
@pytest.mark.parametrize("python", interpreters(), ids=lambda path: Path(path).name)
def test_every_python_at_hand_installs_and_compiles_the_wheel(python, wheel, tmp_path):
    """An interpreter without our dependencies cannot run it, but takes it as fit, and knows all of its syntax."""
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    inside = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", inside, "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", wheel]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = (
        "import compileall, coarsecon, sys\n"
        "sys.exit(not compileall.compile_dir(coarsecon.__path__[0], quiet=1, force=True))"
    )
    done = subprocess.run([inside, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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
