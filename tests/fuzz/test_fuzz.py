"""Damaged files of every kind end in one clear error or a result: no traceback, no hang, no code run, no stray file."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.harness import judge
from fuzz.labels import KINDS
from fuzz.labels import make_world as make_labels
from fuzz.labels import trials as label_trials
from fuzz.run import make_world, trials
from fuzz.world import Target

TRIALS = 200
GROUPS = 4
"""Parts of the trials that may run side by side, each with a world of its own."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Target]]]:
    root = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield root, make_world(root, monkeypatch)
    shutil.rmtree(root)


@pytest.mark.parametrize("group", range(GROUPS))
def test_damaged_files_end_in_one_error_or_a_result(group: int, world: tuple[Path, list[Target]]) -> None:
    root, targets = world
    numbers = range(group * TRIALS // GROUPS, (group + 1) * TRIALS // GROUPS)
    found = [
        f"{trial.what}: {trial.findings}\n{trial.err}" for trial in trials(targets, numbers, root) if trial.findings
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_labels_end_in_one_error_and_none_is_lost(kind: str, tmp_path: Path) -> None:
    found = [trial for trial in label_trials(kind, range(60), make_labels(tmp_path)) if trial.finding]
    assert not found, "\n".join(f"{trial.what}: {trial.finding}" for trial in found)


@pytest.mark.parametrize(
    ("code", "err", "finding"),
    [
        (-11, "", "it ended with -11"),
        (1, "Traceback (most recent call last):\nerror: x", "it shows a traceback"),
        (1, "error: ValueError: x (rerun with --debug for the traceback)", "it shows the text of an exception"),
        (2, "", "it shows 0 error messages"),
        (2, f"error: {'x' * 2000}", "its error message is longer than 1000 characters"),
    ],
)
def test_bad_endings_are_findings(code: int, err: str, finding: str) -> None:
    assert judge(code, 0.1, err) == [finding]


def test_good_endings_are_no_findings() -> None:
    assert judge(0, 0.1, "wrote data\n") == []
    assert judge(2, 0.1, "error: data: no such folder; prepare it first\n") == []
