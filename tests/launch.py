"""Processes started as the ranks of one command, as torchrun starts them on one machine.

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
IMPORTED = ["coarsecon.cli.main", "coarsecon.session", "coarsecon.train.loop", "faiss", "sklearn.cluster"]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def on_two_ranks(*words: object, timeout: float = 300) -> list[Ended]:
    """What two ranks of `python WORDS` said, and how they ended; WORDS are `-m MODULE`, `-c CODE` or a file, with
    arguments."""
    together = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with TemporaryDirectory() as told:
        ranks = []
        for rank in ("0", "1"):
            own = {**together, "RANK": rank, "LOCAL_RANK": rank}
            ranks.append(context.Process(target=_run, args=([*map(str, words)], own, Path(told, rank))))
            ranks[-1].start()
        for rank in ranks:
            rank.join(timeout)
        late = [rank for rank in ranks if rank.is_alive()]
        for rank in late:
            rank.kill()
        assert not late, f"still running after {timeout} s"
        texts = [[Path(told, f"{rank}.{name}").read_text() for name in ("out", "err")] for rank in range(2)]
    return [Ended(rank.exitcode, *text) for rank, text in zip(ranks, texts, strict=True)]


def _run(words: list[str], environment: dict[str, str], told: Path) -> None:
    """Be `python WORDS` with that environment, which writes to files `TOLD.out` and `TOLD.err`."""
    os.environ.clear()
    os.environ.update(environment)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        with Path(f"{told}.{name}").open("wb") as file:
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
