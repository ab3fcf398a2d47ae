"""Read the log of a training, `metrics.jsonl`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from coarsecon.errors import InputError
from coarsecon.runtime.documents import parse_json


def read_log(file: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the rows that can be read, and what is wrong with the first that cannot (else empty).

    A last line that a crash cut short is no problem.
    """
    rows: list[dict[str, Any]] = []
    problem, remedy = "", "delete that line"
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"{file}: cannot be read ({error.strerror})"
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line, f"{file}, line {number}", remedy=remedy)
        except InputError as error:
            problem = problem or str(error) * (number < len(lines))
            continue
        if isinstance(row, dict) and all(_is_count(row.get(key, 0)) for key in ("step", "epoch")):
            rows.append({"step": 0, **row})
        else:
            problem = problem or f"{file}, line {number}: not a row of the log (step, epoch and numbers); {remedy}"
    return rows, problem


def last_epoch(log: Iterable[Mapping[str, Any]]) -> int:
    """Return the last epoch in the rows of a log; 0 if there is none."""
    epochs = (row.get("epoch") for row in log)
    return max((epoch for epoch in epochs if isinstance(epoch, int)), default=0)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
