"""Running the command line as a user does, in this process for speed."""

from collections.abc import Callable
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def coarsecon(capsys) -> Callable[..., Done]:
    """`coarsecon("methods", "--json", "-")` -> exit code, stdout, stderr."""
    from coarsecon.cli.main import run

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

    from coarsecon.train.loop import train
    from coarsecon.train.resolve import plan

    return train(plan(tiny_settings(tiny_data)), tmp_path_factory.mktemp("run") / "first").root
