"""The golden cases: exact inputs and outputs, read from the shared folder beside the project where it is present."""

import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"
GOLDEN = SHARED / "golden"


def golden_cases(family: str) -> list[Any]:
    """The golden cases of one family as pytest parameters; one skipped parameter where the cases are not at hand."""
    index = GOLDEN / "index.json"
    if not index.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="the golden cases are not at hand"))]
    cases = [case for case in json.loads(index.read_text()) if case["family"] == family]
    assert cases, f"no golden case of family {family}"
    return [pytest.param(case, id=case["name"]) for case in cases]


def golden_tensors(case: dict[str, Any]) -> dict[str, Any]:
    """The tensors of one golden case, by name."""
    from safetensors.torch import load_file

    return load_file(GOLDEN / f"{case['name']}.safetensors")
