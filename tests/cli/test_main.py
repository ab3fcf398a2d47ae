"""The command line as a whole: light to start, and every mistake reported in one or two lines."""

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata

import pytest

LIGHT = [
    line.split()
    for line in (
        "--help", "--version", "methods", "methods maskcon", "datasets", "datasets cifar100",
        "plugins", "recipes ls", "recipes show maskcon-cifar100", "prepare --help", "pretrain --help", "import --help",
    )
]  # fmt: skip


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_never_import_torch(arguments):
    code = (
        "import sys\nfrom coarsecon.cli.main import run\n"
        f"try: run({arguments!r})\nexcept SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'timm', 'faiss', 'torchvision', 'numpy'} & set(sys.modules)\n"
        "assert not heavy - {'numpy'}, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", ["--help", "methods", "datasets", "recipes ls", "plugins"])
def test_light_commands_answer_within_the_start_up_bar(arguments):
    """In processor time, the least of some tries; the import of the libraries shows how slow the machine is now."""
    libraries, ours = [], []
    for _ in range(10):
        libraries.append(_processor_seconds("-c", "import typer, rich.table, pydantic"))
        ours.append(_processor_seconds("-m", "coarsecon", *arguments.split()))
        if min(ours) < 0.4:
            break
    assert min(ours) < max(0.4, 3 * min(libraries)), (ours, libraries)


def _processor_seconds(*words: str) -> float:
    command = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    assert command.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pretrian"], "command 'pretrian': not found; did you mean pretrain?"),
        (["prepare", "cifar1000"], "did you mean cifar100?"),
        (["prepare", "folder", "--source", "nowhere"], "nowhere"),
        (["prepare", "toy", "--size", "huge"], "--size"),
        (["pretrain"], "--data"),
        (["pretrain", "--data", "nowhere"], "coarsecon prepare"),
        (["pretrain", "--epochs", "0"], "--epochs"),
        (["pretrain", "--recipe", "maskon-cifar100"], "did you mean maskcon-cifar100?"),
        (["pretrain", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["pretrain", "--set", "optimizer.lrr=1"], "did you mean optimizer.lr?"),
        (["pretrain", "--out", "nowhere", "--resume"], "no run to resume"),
        (["retrieve", "nowhere"], "not a run folder"),
        (
            ["retrieve", "nowhere", "--layer", "projecter"],
            "'--layer': 'projecter' is not one of 'backbone', 'projector'",
        ),
        (["methods", "nope"], "method 'nope': not found; known: "),
        (["recipes", "show", "nope"], "recipes ls"),
        (["retrieve"], "RUN"),
        (["retrieve", "x", "--png"], "'--png' requires an argument (see `coarsecon retrieve --help`)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_ends_with_code_2_and_at_most_two_lines(coarsecon, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = coarsecon(*arguments)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) <= 2
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_version_comes_with_its_environment(coarsecon):
    reported = coarsecon("--version").out
    for part in (metadata.version("coarsecon"), platform.python_version(), f"torch {metadata.version('torch')}"):
        assert part in reported


@pytest.mark.parametrize(
    ("typed", "offered"), [("coarsecon pre", "pretrain"), ("coarsecon pretrain --met", "--method")]
)
def test_the_shell_completes_commands_and_options(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_COARSECON_COMPLETE": "complete_bash"}
    code = "from coarsecon.cli.main import run; run([])"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True)
    assert offered in done.stdout.split()
    assert not done.stderr


def test_a_traceback_only_with_debug(tmp_path):
    command = [sys.executable, "-m", "coarsecon", "retrieve", "nowhere"]
    plain = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, cwd=tmp_path)
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr


@pytest.mark.parametrize("command", ["retrieve", "knn", "linear", "fewshot", "cluster", "tsne"])
def test_an_interrupt_is_told_in_one_line_and_leaves_no_result(coarsecon, tiny_run, tmp_path, monkeypatch, command):
    def interrupts(*_, **__):
        raise KeyboardInterrupt

    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("features", "results", "figures"))
    monkeypatch.setattr("coarsecon.report.evaluate.store_result", interrupts)
    episodes = ("--episodes", 2, "--queries", 1) if command == "fewshot" else ()
    done = coarsecon(command, run, "--device", "cpu", "--workers", 0, *episodes)
    assert done.code == 130
    assert done.err.splitlines()[-1].startswith("Interrupted. Finished work is kept")
    assert "rerun the command to continue" in done.err
    assert not (run / "results").exists()
    assert not (run / "figures").exists()


def test_lists_come_as_json(coarsecon, tmp_path):
    listed = json.loads(coarsecon("methods", "--json", "-").out)
    assert {"name", "distribution", "version", "summary", "problem"} == set(listed[0])
    described = json.loads(coarsecon("methods", "maskcon", "--json", "-").out)
    assert "w" in {setting["name"] for setting in described["settings"]}
    assert "cifar100" in {row["name"] for row in json.loads(coarsecon("datasets", "--json", "-").out)}
    coarsecon("recipes", "ls", "--json", tmp_path / "recipes.json")
    assert "maskcon-sop" in {row["name"] for row in json.loads((tmp_path / "recipes.json").read_text())}


def test_a_recipe_can_be_copied_once(coarsecon, tmp_path):
    path = tmp_path / "mine.yaml"
    done = coarsecon("recipes", "cp", "maskcon-cifar100", path)
    assert done.code == 0
    assert str(path) in done.err
    assert path.read_text().startswith("# MaskCon on CIFAR-100")
    assert coarsecon("recipes", "cp", "maskcon-cifar100", path).code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "folder", "--out", "out", "--source"], ["retrieve"], ["data", "check"], ["report"],
        ["pretrain", "--out", "out", "--data"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_path_that_is_too_long_is_named(coarsecon, tmp_path, words):
    done = coarsecon(*words, tmp_path / ("x" * 300))
    assert done.code == 2
    assert "File name too long" in done.err
    assert "--debug" not in done.err
    assert len(done.err.splitlines()) == 1
