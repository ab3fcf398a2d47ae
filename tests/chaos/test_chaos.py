"""A writer that is killed, stopped, cut off or out of disk can be run again, and leaves what it would have left."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos.run import chaos_world, trials
from chaos.writers import WRITERS, Writer

MOMENTS = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, tuple[str, ...]]]:
    root = tmp_path_factory.mktemp("chaos")
    with chaos_world(root) as kinds:
        yield root, kinds
    shutil.rmtree(root)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name)
def test_a_disturbed_writer_can_be_run_again(writer: Writer, world: tuple[Path, tuple[str, ...]]) -> None:
    root, kinds = world
    found = [
        f"{trial.what}: {trial.findings}\n{trial.err}"
        for trial in trials(writer, kinds, range(MOMENTS), root)
        if trial.findings
    ]
    assert not found, "\n".join(found)
