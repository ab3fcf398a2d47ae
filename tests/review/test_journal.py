"""The journal of a review: nothing acknowledged is lost, incomplete lines are ignored, damaged ones are named."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fuzz.mutations import mutate
from reviews import naive_replay, operation, random_operation, small_journal, small_proposal, snapshot

from coarsecon.errors import CoarseconError, InputError
from coarsecon.review.journal import Journal, journal_of, read_journal, start_journal


@pytest.fixture
def path(tmp_path) -> Path:
    return small_journal(tmp_path / "review" / "labels.jsonl")


def fill(path: Path, changes: int, seed: int = 0) -> Journal:
    rng = random.Random(seed)
    with journal_of(path) as journal:
        while journal.state.version < changes:
            with suppress(InputError):
                journal.append(random_operation(journal.state, rng))
    return journal


def test_a_journal_is_replayed_to_the_same_state(path):
    written = fill(path, 60)
    state = read_journal(path)
    assert snapshot(state) == snapshot(written.state) == naive_replay(state.proposal, state.history)
    assert len(path.read_text().splitlines()) == 61
    assert state.history == written.state.history


def test_each_line_has_who_when_and_the_version_it_was_made_against(path):
    fill(path, 5)
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [line["version"] for line in lines] == list(range(5))
    assert all(line["who"] == "anna" and line["time"] for line in lines)


def test_a_refused_change_writes_nothing(path):
    before = path.read_bytes()
    with journal_of(path) as journal, pytest.raises(InputError):
        journal.append(operation(0, "name", cluster=77, name="x"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("rest", [b'{"op":"name","cluster":1,"na', b"\0" * 50, b"\xff"])
def test_an_incomplete_last_line_is_ignored_and_overwritten(path, rest):
    fill(path, 10)
    with path.open("ab") as file:
        file.write(rest)
    assert read_journal(path).version == 10
    fill(path, 12, seed=1)
    assert read_journal(path).version == 12
    assert rest not in path.read_bytes()


def test_a_last_line_without_a_line_feed_is_kept(path):
    fill(path, 10)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert read_journal(path).version == 10
    fill(path, 11, seed=1)
    assert read_journal(path).version == 11


def test_a_full_disk_leaves_the_journal_and_the_state_as_they_were(path, monkeypatch):
    fill(path, 5)
    before = path.read_bytes()
    with journal_of(path) as journal:
        state = snapshot(journal.state)

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(CoarseconError, match="No space left"):
                journal.append(operation(5, "reject", cluster=journal.state.present()[0]))
        assert (path.read_bytes(), snapshot(journal.state)) == (before, state)
        journal.append(operation(5, "reject", cluster=journal.state.present()[0]))
    assert read_journal(path).version == 6


def test_only_one_process_changes_a_review(path):
    with journal_of(path), pytest.raises(InputError, match="another process has this review open"):
        journal_of(path).__enter__()
    with journal_of(path) as journal:
        assert journal.state.version == 0


def test_a_new_review_replaces_none(path):
    with pytest.raises(InputError, match="exists"):
        start_journal(path, small_proposal())


WRITER = """
import random, sys
from pathlib import Path
from reviews import random_operation
from coarsecon.errors import InputError
from coarsecon.review.journal import journal_of
with journal_of(Path(sys.argv[1])) as journal:
    print("ready", flush=True)
    rng = random.Random(int(sys.argv[2]))
    while True:
        try:
            journal.append(random_operation(journal.state, rng))
        except InputError:
            continue
        print(journal.state.version, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(path):
    acknowledged = 0
    for seed in range(3):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", WRITER, str(path), str(seed)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n", "the lock of the killed process is free again"
        for _ in range(30 + 7 * seed):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        state = read_journal(path)
        assert acknowledged <= state.version <= acknowledged + 1
        assert snapshot(state) == naive_replay(state.proposal, state.history)


def test_damaged_journals_end_in_one_error_or_a_review(path):
    fill(path, 30)
    intact = path.read_bytes()
    read, messages = 0, []
    for seed in range(int(os.environ.get("COARSECON_FUZZ", 300))):
        path.write_bytes(intact)
        mutate(path, random.Random(seed))
        try:
            state = read_journal(path)
        except InputError as error:
            messages.append(str(error))
        else:
            assert snapshot(state) == naive_replay(state.proposal, state.history)
            read += 1
    assert read
    assert messages
    assert [message for message in messages if "\n" in message or str(path) not in message] == []


def test_an_error_in_a_line_names_it(path):
    fill(path, 10)
    lines = path.read_bytes().split(b"\n")
    lines[4] = lines[4].replace(b'"version":3', b'"version":2')
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=r"labels\.jsonl, line 5: was made against version 2, not 3; restore"):
        read_journal(path)


def test_a_proposal_with_an_image_in_two_clusters_names_its_line(path):
    path.write_bytes(path.read_bytes().replace(b'"images":[0,1,', b'"images":[4,1,'))
    with pytest.raises(InputError, match=r"labels\.jsonl, line 1: image 4 is unknown or in two clusters; restore"):
        read_journal(path)


def test_a_journal_of_a_newer_version_is_refused_as_such(path):
    path.write_bytes(path.read_bytes().replace(b'"format_version":1', b'"format_version":2'))
    with pytest.raises(InputError, match="made by a newer coarsecon"):
        read_journal(path)
