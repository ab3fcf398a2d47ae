"""What the tests share: a promise to stay off the network, one thread a worker, and the shared folder."""

import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from golden import SHARED

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Stop where the package was installed before entry points were added, which then would not be found."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    installed = {(point.group, point.name, point.value) for point in distribution("coarsecon").entry_points}
    missing = {(group, *point) for group, points in declared.items() for point in points.items()} - installed
    if missing:
        group, name, _ = min(missing)
        raise pytest.UsageError(
            f"{name} of {group} and {len(missing) - 1} more entry points of pyproject.toml are not installed; run "
            "`pip install --no-deps --no-build-isolation -e .` again"
        )


pytest_plugins = ["stand_ins", "loopback", "serving"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the project; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared material is not at hand")
    return SHARED


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared dataset: 96 training and 48 test images of 16 fine and 4 coarse classes."""
    from tiny import write_tiny_dataset

    return write_tiny_dataset(tmp_path_factory.mktemp("tiny") / "data")


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def built_app():
    """The command line as Typer builds it, which it would do again at each call."""
    from typer.main import get_command

    from coarsecon.cli.main import app

    return get_command(app)


@pytest.fixture
def coarsecon(capsys, built_app, monkeypatch) -> Callable[..., Done]:
    """`coarsecon("methods", "--json", "-")` -> exit code, stdout, stderr."""
    from coarsecon.cli.main import run

    monkeypatch.setattr("coarsecon.cli.main.app", built_app)

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(int(exit_.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def tiny_run(tiny_data, tmp_path_factory):
    """A finished run of two epochs on the tiny dataset."""
    from tiny import tiny_settings

    from coarsecon.train.pretrain import pretrain
    from coarsecon.train.resolve import build_run_spec

    return pretrain(build_run_spec(tiny_settings(tiny_data)), tmp_path_factory.mktemp("run") / "first").root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def install_plugin(tmp_path, monkeypatch):
    """Put a distribution with one module and one entry point on the path; returns the module's name."""
    from coarsecon import registry

    monkeypatch.syspath_prepend(tmp_path)

    def install(
        distribution: str, name: str, source: str | None, attribute: str = "Mine", group: str = registry.METHODS
    ) -> str:
        module = distribution.replace("-", "_")
        if source is not None:
            (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:{attribute}\n")
        return module

    return install
