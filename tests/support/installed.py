"""A virtual environment to install plugins into for real; everything of the running one is at hand in it."""

import os
import site
import subprocess
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Environment:
    """Needs no network: what pip would fetch is there already."""

    def __init__(self, root: Path) -> None:
        venv.EnvBuilder(symlinks=True).create(root)
        self.root, self._python = root, root / "bin" / "python"
        self.site = next(root.glob("lib/python*/site-packages"))
        parents = {*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        lines = [f"import site; site.addsitedir({parent!r})\n" for parent in sorted(parents)]
        (self.site / "parent.pth").write_text("".join(lines))

    def install(self, *projects: Path, editable: bool = False) -> None:
        """`pip install` of project folders; `--editable` where hatchling has what it needs for that."""
        editable = editable and find_spec("editables") is not None
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
        flags = [word for project in projects for word in (*["--editable"] * editable, project)]
        done = self.python("-m", "pip", "install", *options, *flags)
        assert done.code == 0, done.err

    def put(self, distribution: str, name: str, source: str, *, group: str = "coarsecon.methods") -> str:
        """What an installer leaves of a distribution of one module and one entry point `Mine`; returns the module."""
        module = distribution.replace("-", "_")
        (self.site / f"{module}.py").write_text(source)
        info = self.site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:Mine\n")
        return module

    def coarsecon(self, *arguments: object, **variables: str) -> Done:
        """The command line in a process of its own."""
        return self.python("-m", "coarsecon", *arguments, **variables)

    def python(self, *arguments: object, cwd: Path | None = None, **variables: str) -> Done:
        """A Python process in this environment, on a terminal wide enough for any table."""
        done = subprocess.run(
            [str(word) for word in (self._python, *arguments)], cwd=cwd or self.root, capture_output=True, text=True,
            env={**os.environ, "COLUMNS": "250", **variables},
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)
