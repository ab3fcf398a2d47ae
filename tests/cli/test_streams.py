"""Commands whose output goes to a closed pipe, nowhere, or an old encoding finish their work."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coarsecon.cli.console import emit_json, table
from coarsecon.cli.streams import standard_streams


def run(*words: object, encoding: str | None = None, stdout: int | None = None, stderr: int | None = None):
    """Run the command line in a process of its own."""
    environment = {**os.environ} | ({"PYTHONIOENCODING": encoding} if encoding else {})
    return subprocess.run(
        [sys.executable, "-m", "coarsecon", *map(str, words)], env=environment,
        stdout=stdout or subprocess.PIPE, stderr=stderr or subprocess.PIPE,
    )  # fmt: skip


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch):
    """Replaces standard output by a stream of the given encoding and returns its bytes."""

    def replace(encoding: str, errors: str = "strict") -> io.BytesIO:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, errors))
        return raw

    return replace


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
@pytest.mark.parametrize(("encoding", "expected"), [("ascii", b"K?se ??"), ("cp1252", b"K\xe4se ??")])
def test_characters_that_the_encoding_lacks_become_question_marks(
    stdout, encoding: str, expected: bytes, errors: str
) -> None:
    raw = stdout(encoding, errors)
    with standard_streams():
        print("Käse 日本")
        table("Käse", ["name", "recall"], [("日本", "12.34")])
    assert raw.getvalue().startswith(expected)
    assert b"12.34" in raw.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_on_stdout_keeps_every_name_in_any_encoding(stdout, encoding: str) -> None:
    raw = stdout(encoding)
    value = {"names": ["Käse", "日本", "\udcff.jpg"]}
    with standard_streams():
        emit_json(value, "-")
    assert json.loads(raw.getvalue().decode(encoding)) == value


def test_json_of_a_name_that_is_no_text_is_written(tmp_path: Path) -> None:
    emit_json({"name": "\udcff.jpg"}, str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text()) == {"name": "\udcff.jpg"}


def test_a_reader_that_has_gone_does_not_keep_a_command_from_its_files(tmp_path: Path) -> None:
    file = tmp_path / "recipes.json"
    done = run("recipes", "ls", "--json", file, stdout=closed_pipe(), stderr=closed_pipe())
    assert done.returncode == 0
    assert "maskcon-toy" in {row["name"] for row in json.loads(file.read_text())}


@pytest.mark.parametrize("words", [["recipes", "ls"], ["--help"], ["recipes", "show", "maskcon-toy"]], ids=" ".join)
def test_a_closed_pipe_ends_quietly(words: list[str]) -> None:
    done = run(*words, stdout=closed_pipe())
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_closed_stderr_keeps_the_exit_code_of_a_mistake() -> None:
    done = run("retrieve", "nowhere", stderr=closed_pipe())
    assert (done.returncode, done.stdout) == (2, b"")


def test_output_that_was_closed_before_the_start_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "recipes.json"
    command = f'exec "$0" -m coarsecon recipes ls --json "{file}" >&- 2>&-'
    assert subprocess.run(["sh", "-c", command, sys.executable]).returncode == 0
    assert json.loads(file.read_text())


def test_a_full_disk_is_still_an_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = run("recipes", "ls", stdout=full.fileno())
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
