"""Processes of their own for what must die or be interrupted, or be the ranks of one command as torchrun starts them.

They fork from one process that has imported what commands need, which would take each of them six seconds.
"""

import os
import runpy
import socket
import sys
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

HERE = Path(__file__).parent
IMPORTED = ["coarsecon.cli.main", "coarsecon.run.facade", "coarsecon.train.pretrain", "faiss", "sklearn.cluster"]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def on_two_ranks(*words: object, timeout: float = 300) -> list[Ended]:
    """What two ranks of `python WORDS` said, and how they ended; see `python`."""
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return _forked(words, [{**together, "RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")], timeout)


def python(*words: object, timeout: float = 120) -> Ended:
    """What `python WORDS` said, and how it ended; WORDS are `-m MODULE`, `-c CODE` or a file, with arguments."""
    return _forked(words, [{}], timeout)[0]


def _forked(words: tuple[object, ...], variables: list[dict[str, str]], timeout: float) -> list[Ended]:
    """One process for each set of further variables of the environment."""
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with TemporaryDirectory() as folder:
        told = [Path(folder, str(number)) for number in range(len(variables))]
        processes = [
            context.Process(target=_run, args=([*map(str, words)], {**os.environ, **own}, place))
            for own, place in zip(variables, told, strict=True)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout)
        late = [process for process in processes if process.is_alive()]
        for process in late:
            process.kill()
        assert not late, f"still running after {timeout} s"
        return [
            Ended(process.exitcode, place.with_suffix(".out").read_text(), place.with_suffix(".err").read_text())
            for process, place in zip(processes, told, strict=True)
        ]


def _run(words: list[str], environment: dict[str, str], told: Path) -> None:
    """Be `python WORDS` with that environment, which writes to the files `told` with the endings .out and .err."""
    os.environ.clear()
    os.environ.update(environment)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        with told.with_suffix(f".{name}").open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    match words:
        case "-m", module, *arguments:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case "-c", code, *arguments:
            sys.argv = ["-c", *arguments]
            exec(code, {"__name__": "__main__"})
        case file, *arguments:
            sys.argv = [file, *arguments]
            runpy.run_path(file, run_name="__main__")
