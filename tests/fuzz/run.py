"""`make fuzz`: many seeded trials over every kind of file; prints each finding, and fails where there is one."""

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from fuzz.harness import Trial, run_command, run_trial
from fuzz.world import TARGETS, Target, write_originals, write_world


def make_world(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """Write every kind of file below `root`; return the targets."""
    torch.set_num_threads(1)
    (root / "world").mkdir(parents=True)

    def coarsecon(words: list[str]) -> None:
        code, _ = run_command(words, root / "world")
        assert code == 0, (words, (root / "world" / "stderr").read_text())

    write_world(root / "world", coarsecon)
    return [*TARGETS, *write_originals(root / "world", monkeypatch)]


def trials(targets: list[Target], numbers: range, root: Path) -> Iterator[Trial]:
    """Run the trials with these numbers; each takes the next target."""
    for number in numbers:
        place = root / f"trial-{number}"
        yield run_trial(targets[number % len(targets)], number // len(targets), root / "world", place)
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="number of trials")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--only", default="", help="targets whose name contains this")
    options = parser.parse_args()
    codes: Counter[int] = Counter()
    found = 0
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        root = Path(folder)
        targets = [target for target in make_world(root, monkeypatch) if options.only in target.name]
        for trial in trials(targets, range(options.first, options.first + options.count), root):
            codes[trial.code] += 1
            if trial.findings:
                found += 1
                print(f"{trial.what}\n    {'; '.join(trial.findings)}\n    {trial.err.strip()[-1500:]}", flush=True)
    print(f"{sum(codes.values()):,} trials, {found} findings; exit codes {dict(sorted(codes.items()))}")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
