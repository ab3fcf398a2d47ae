"""Damage a file, run a command that reads it in a process of its own, and judge how it ended."""

import random
import re
import resource
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from forks import Ended, command, in_fork
from fuzz.mutations import CANARY, mutate
from fuzz.world import Target

SECONDS = 60
"""After this a command hangs; the slowest takes two on a free machine."""
MAX_FILE_BYTES = 2**28
MAX_MEMORY_BYTES = 2**33

GIT_CONFIG = f'[core]\n\tfsmonitor = "touch {CANARY}; false"\n\thooksPath = .\n'


class Trial(NamedTuple):
    """What was damaged and run, how it ended, and what is wrong with that (empty: nothing)."""

    what: str
    code: int
    out: str
    err: str
    findings: list[str]


def run_trial(target: Target, seed: int, world: Path, place: Path) -> Trial:
    """Run one seeded trial in the new folder `place`, which is left behind."""
    rng = random.Random(f"{target.name} {seed}")
    here, outside = place / "here", place / "outside"
    for folder in (target.folder, *target.beside):
        shutil.copytree(world / folder, here / folder, symlinks=True)
    (here / ".git").mkdir()
    (here / ".git" / "config").write_text(GIT_CONFIG)
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    file = rng.choice(sorted(path for path in (here / target.folder).glob(target.pattern) if path.is_file()))
    done = mutate(file, rng)
    words = [str(file.relative_to(here)) if word == "{file}" else word for word in rng.choice(target.commands)]
    what = f"{target.name}, seed {seed}: {done} {file.relative_to(here)}; coarsecon {' '.join(words)}"
    code, seconds = run_command(words, here, site=here / "site")
    out, err = ((here / f"std{name}").read_text(errors="replace") for name in ("out", "err"))
    findings = judge(code, seconds, err)
    if (here / CANARY).exists():
        findings.append("code of a file was run")
    if [path.name for path in outside.iterdir()] != ["secret.png"] or (
        outside / "secret.png"
    ).read_bytes() != b"secret":
        findings.append("something was written outside of the folder")
    return Trial(what, code, out, err, findings)


def judge(code: int, seconds: float, err: str) -> list[str]:
    """What is wrong with how a command ended: it must succeed, or say in one error message what to do."""
    errors = re.findall(r"^error: .*", err, re.MULTILINE)
    findings = []
    if seconds >= SECONDS:
        findings.append(f"it hangs ({SECONDS} s)")
    elif code not in (0, 1, 2):
        findings.append(f"it ended with {code}")
    if "Traceback" in err:
        findings.append("it shows a traceback")
    if any("--debug" in message for message in errors):
        findings.append("it shows the text of an exception")
    if code in (1, 2) and len(errors) != 1:
        findings.append(f"it shows {len(errors)} error messages")
    if any(len(message) > 1000 for message in errors):
        findings.append("its error message is longer than 1000 characters")
    return findings


def run_command(words: list[str], here: Path, *, site: Path | None = None) -> Ended:
    """Run `coarsecon WORDS` in a fork with the current folder `here`, with limits on memory and file size."""

    def action() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        if site is not None and site.is_dir():
            sys.path.insert(0, str(site))
        command(*words)()

    return in_fork(action, here, seconds=SECONDS)
