"""A throw-away plugin: one module and one entry point, as an installer leaves them."""

from pathlib import Path

import pytest


def put_plugin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, *, group: str, name: str, attribute: str
) -> None:
    """Make a distribution `throw-away` with an entry point NAME importable for the duration of a test."""
    (folder / "throw_away.py").write_text(source)
    info = folder / "throw_away-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: throw-away\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = throw_away:{attribute}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(__import__("sys").modules, "throw_away", raising=False)
