"""Appended lines follow the intact part of a file, and a failed write leaves that part."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from coarsecon.runtime.journals import append_synced, utc_now


@pytest.mark.parametrize(
    ("before", "size", "after"),
    [
        (b"", 0, b"new\n"),
        (b"one\n", 4, b"one\nnew\n"),
        (b"one\nunfini", 4, b"one\nnew\n"),
        (b"one\ntwo", 7, b"one\ntwo\nnew\n"),
    ],
)
def test_lines_replace_what_follows_the_intact_part(tmp_path: Path, before: bytes, size: int, after: bytes) -> None:
    file = tmp_path / "journal"
    file.write_bytes(before)
    assert append_synced(file, size, b"new\n") == len(after)
    assert file.read_bytes() == after


def test_a_failed_write_leaves_the_intact_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "journal"
    file.write_bytes(b"one\n")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_synced(file, 4, b"new\n")
    assert file.read_bytes() == b"one\n"


def test_times_are_in_utc() -> None:
    assert datetime.fromisoformat(utc_now()).utcoffset() == timedelta(0)
