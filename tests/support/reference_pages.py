"""Access to `docs/reference.py`, which lists all commands, settings, recipes, and datasets."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def load_reference() -> ModuleType:
    """Import the module that writes the generated pages."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module  # dataclasses look up the names of annotations there
    spec.loader.exec_module(module)
    return module
