"""Processes started as the ranks of one command, as torchrun starts them on one machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def on_two_ranks(*words: object, timeout: float = 300) -> list[Ended]:
    """What two ranks of `python WORDS` said, and how they ended."""
    together = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    ranks = [
        subprocess.Popen(
            [sys.executable, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**together, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    said = [rank.communicate(timeout=timeout) for rank in ranks]
    return [Ended(rank.returncode, *told) for rank, told in zip(ranks, said, strict=True)]
