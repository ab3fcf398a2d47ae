"""Disturb a writer at a seeded moment, run it again, and compare what it leaves with an undisturbed run."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from chaos.writers import SECONDS, Writer, snapshot
from forks import in_fork

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}
"""Audit events of changes to the file system; opening a file to write is one more."""

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "hup": signal.SIGHUP}
KINDS = (*SIGNALS, "pipe", "disk")
SMALLEST_DISK = 64 * 1024


class Undisturbed(NamedTuple):
    """What a writer leaves where nothing disturbs it, how many changes it makes, and how many bytes it adds."""

    files: dict
    changes: int
    size: int


class Trial(NamedTuple):
    """One disturbed run: what was done, and what is wrong with what came of it (empty: nothing)."""

    what: str
    findings: list[str]
    err: str


def undisturbed(writer: Writer, world: Path, place: Path) -> Undisturbed:
    """Run the writer once in the new folder `place`."""
    before = _lay(writer, world, place)
    counts = place.with_name(f"{place.name}.changes")

    def counted() -> None:
        _at_change(0, lambda: None, counts)
        writer.action()

    ended = in_fork(counted, place, seconds=SECONDS)
    assert ended.code == 0, (writer.name, (place / "stderr").read_text())
    size = _size(place)
    return Undisturbed(snapshot(place), counts.stat().st_size, max(size - before, SMALLEST_DISK))


def disturbed(writer: Writer, kind: str, seed: int, expected: Undisturbed, world: Path, place: Path) -> Trial:
    """Run the writer in the new folder `place`, disturb it at a moment that `seed` chooses, and run it again."""
    rng = random.Random(f"{writer.name} {kind} {seed}")
    if kind == "disk":
        return _on_full_disk(writer, rng.random(), seed, expected, world, place)
    _lay(writer, world, place)
    change = rng.randrange(1, expected.changes + 1)

    def action() -> None:
        _at_change(change, _break_pipes if kind == "pipe" else lambda: os.kill(os.getpid(), SIGNALS[kind]))
        writer.action()

    first = in_fork(action, place, seconds=SECONDS)
    err = (place / "stderr").read_text(errors="replace")
    findings = _bad_ending(first.code, err, {0} if kind == "pipe" else {0, 1, 129, 130, 143, -SIGNALS[kind]})
    return _again(
        f"{writer.name}: {kind} at change {change} of {expected.changes}", writer, expected, place, findings, err
    )


def _on_full_disk(writer: Writer, part: float, seed: int, expected: Undisturbed, world: Path, place: Path) -> Trial:
    place.mkdir()
    _mount(place, "size=1G")
    try:
        used = _lay(writer, world, place)
        _mount(place, f"remount,size={int(used + part * expected.size) // 4096 * 4 + 8}k")
        first = in_fork(writer.action, place, seconds=SECONDS)
        err = (place / "stderr").read_text(errors="replace")
        _mount(place, "remount,size=1G")
        what = f"{writer.name}: full disk after {part:.0%} of what it writes (seed {seed})"
        return _again(what, writer, expected, place, _bad_ending(first.code, err, {0, 1}), err)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _again(what: str, writer: Writer, expected: Undisturbed, place: Path, findings: list[str], err: str) -> Trial:
    second = in_fork(writer.again, place, seconds=SECONDS)
    err += f"\n--- again: {second.code}\n" + (place / "stderr").read_text(errors="replace")
    if second.code != 0:
        findings.append(f"the same command again ends with {second.code}")
    else:
        found = snapshot(place)
        names = [name for name in {**found, **expected.files} if found.get(name) != expected.files.get(name)]
        findings += [f"{', '.join(sorted(names))} differ from an undisturbed run"] * bool(names)
    return Trial(what, findings, err)


def _bad_ending(code: int, err: str, good: set[int]) -> list[str]:
    findings = [] if code in good else [f"it ended with {code}"]
    if "Traceback" in err or "--debug" in err:
        findings.append("it shows an exception")
    return findings


def _lay(writer: Writer, world: Path, place: Path) -> int:
    """Copy what the writer needs to `place`; return its size in bytes."""
    place.mkdir(exist_ok=True)
    for name in writer.needs:
        copy = shutil.copytree if (world / name).is_dir() else shutil.copy
        copy(world / name, place / name)
    return _size(place)


def _size(folder: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*"))


def _at_change(change: int, act: Callable[[], None], counts: Path | None = None) -> None:
    """From here on, count the changes this process makes; call `act` just before the one numbered `change`."""
    count = 0
    log = counts.open("ab", buffering=0) if counts else None

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            count += 1
            if log:
                log.write(b".")
            if count == change:
                act()

    sys.addaudithook(hook)


def _break_pipes() -> None:
    """Have nobody read what this process prints."""
    reader, writer = os.pipe()
    os.close(reader)
    for number in (1, 2):
        os.dup2(writer, number)


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "coarsecon-chaos", place], check=True, capture_output=True)


@contextmanager
def mountable(place: Path):
    """Whether a small disk can be mounted at the new folder `place`."""
    place.mkdir()
    try:
        _mount(place, "size=64k")
        subprocess.run(["umount", place], check=True)
        yield True
    except (OSError, subprocess.CalledProcessError):
        yield False
