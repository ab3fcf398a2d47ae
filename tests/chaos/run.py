"""`make chaos`: every writer is disturbed in every way at many seeded moments; prints and counts findings."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("no_proxy", "127.0.0.1")

import torch
from chaos.disturb import KINDS, Trial, Undisturbed, disturbed, mountable, undisturbed
from chaos.writers import WRITERS, Writer, write_world


@contextmanager
def chaos_world(root: Path) -> Iterator[tuple[str, ...]]:
    """Write what the writers need to `root/world`; yields the kinds of disturbance that are possible here."""
    torch.set_num_threads(1)
    world = root / "world"
    world.mkdir(parents=True)
    server = write_world(world)
    try:
        with mountable(root / "disk") as is_mountable:
            yield KINDS if is_mountable else KINDS[:-1]
    finally:
        os.kill(server, 9)
        os.waitpid(server, 0)


def trials(writer: Writer, kinds: tuple[str, ...], moments: range, root: Path) -> Iterator[Trial]:
    """Disturb a writer at these moments in each way, after one undisturbed run."""
    place = root / "trial"
    expected: Undisturbed = undisturbed(writer, root / "world", place)
    for moment in moments:
        for kind in kinds:
            shutil.rmtree(place)
            yield disturbed(writer, kind, moment, expected, root / "world", place)
    shutil.rmtree(place)
    place.with_name("trial.changes").unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="moments of each writer and kind of disturbance")
    parser.add_argument("--first", type=int, default=0, help="number of the first moment")
    parser.add_argument("--only", default="", help="writers whose name contains this")
    options = parser.parse_args()
    total = found = 0
    with TemporaryDirectory() as folder, chaos_world(Path(folder)) as kinds:
        if "disk" not in kinds:
            print("no small disk can be mounted here: full disks are not tried")
        for writer in WRITERS:
            if options.only not in writer.name:
                continue
            for trial in trials(writer, kinds, range(options.first, options.first + options.count), Path(folder)):
                total += 1
                if trial.findings:
                    found += 1
                    print(f"{trial.what}\n    {'; '.join(trial.findings)}\n    {trial.err.strip()[-1500:]}", flush=True)
    print(f"{total:,} trials, {found} findings")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
