"""A run that cannot be written to: everything is computed and shown, and one warning says that nothing is stored."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

QUICK = ("--device", "cpu", "--workers", 0)


@pytest.fixture
def readonly_run(tiny_run, tmp_path):
    """A copy of a run without features and results, mounted read-only."""
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("features", "results", "figures", "index"))
    mounted = subprocess.run(["mount", "--bind", run, run], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode().strip()}")
    subprocess.run(["mount", "-o", "remount,ro,bind", run], check=True)
    yield run
    subprocess.run(["umount", run], check=True)


def one_warning(err: str) -> bool:
    warnings = [line for line in err.splitlines() if line.startswith("Warning")]
    return len(warnings) == 1 and "Read-only file system" in warnings[0] and "not stored" in warnings[0]


@pytest.mark.parametrize(
    "command",
    [
        ("retrieve",),
        ("retrieve", "--flip", "--layer", "projector"),
        ("knn", "--k", "5"),
        ("linear", "--labels", "fine", "--epochs", "1"),
        ("fewshot", "--queries", "2", "--episodes", "2"),
        ("cluster", "--k", "2", "--restarts", "1"),
        ("tsne", "--method", "pca"),
        ("localize", "--limit", "2"),
        ("localize", "--limit", "2", "--neighbors", "2"),
    ],
    ids=" ".join,
)
def test_numbers_are_the_same_as_in_a_writable_run(coarsecon, readonly_run, tiny_run, tmp_path, command):
    name, *options = command
    done = coarsecon(name, readonly_run, *options, "--json", "-", *QUICK)
    assert done.code == 0, done.err
    assert one_warning(done.err), done.err
    assert "wrote" not in done.err
    usual = coarsecon(name, tiny_run, *options, "--json", tmp_path / "usual.json", *QUICK)
    assert usual.code == 0, usual.err
    assert json.loads(done.out) == json.loads((tmp_path / "usual.json").read_text())


@pytest.mark.parametrize("index", ["Flat", "HNSW8"])
def test_searching_works_in_memory(coarsecon, readonly_run, tiny_run, tmp_path, index):
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(tmp_path / "query.png")
    words = ("--query", tmp_path / "query.png", "--index", index, "--json", "-", *QUICK)
    done, usual = coarsecon("retrieve", readonly_run, *words), coarsecon("retrieve", tiny_run, *words)
    assert done.code == 0, done.err
    assert one_warning(done.err), done.err
    assert json.loads(done.out) == json.loads(usual.out)


def test_files_that_were_asked_for_are_written(coarsecon, readonly_run, tmp_path):
    csv, png = tmp_path / "c.csv", tmp_path / "c.png"
    done = coarsecon("cluster", readonly_run, "--k", 2, "--restarts", 1, "--csv", csv, "--png", png, *QUICK)
    assert done.code == 0, done.err
    assert csv.is_file()
    assert png.is_file()
    assert f"wrote {csv}" in done.err


def test_a_report_needs_another_place(coarsecon, readonly_run, tiny_run, tmp_path):
    done = coarsecon("report", readonly_run, tiny_run, "--json", tmp_path / "rows.json")
    assert done.code == 1
    assert "report.html: cannot be written (Read-only file system); pass --out" in done.err
    assert (tmp_path / "rows.json").is_file()
    assert coarsecon("report", readonly_run, "--out", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").is_file()


def test_an_export_needs_another_place(coarsecon, readonly_run, tmp_path):
    done = coarsecon("export", readonly_run)
    assert done.code == 1
    assert "cannot be written (Read-only file system); pass --out" in done.err
    assert coarsecon("export", readonly_run, "--out", tmp_path / "timm").code == 0


def test_serve_searches_and_says_that_marks_cannot_be_kept(readonly_run):
    from coarsecon.run.facade import Run
    from coarsecon.run.folder import open_run
    from coarsecon.run.spec import Runtime
    from coarsecon.runtime.progress import Reporter
    from coarsecon.serve.finder import Finder

    told: list[str] = []

    class Told(Reporter):
        def info(self, text: str) -> None:
            told.append(text)

    session = Run(open_run(readonly_run), None, runtime=Runtime("cpu", 0, Told()))
    finder = Finder.of(session, "train", "HNSW8")
    query = finder.query("train:3")
    assert query is not None
    assert len(finder.neighbors(query, 5)) == 5
    assert len([text for text in told if "not stored" in text]) == 1


def test_a_folder_without_permission_is_one_warning_as_well(tiny_run, tmp_path):
    """As root, permissions bind only without CAP_DAC_OVERRIDE."""
    if shutil.which("capsh") is None:
        pytest.skip("needs capsh")
    import sys

    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("features", "results", "figures", "index"))
    for path in [run, *run.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = f"{sys.executable} -m coarsecon retrieve {run} --device cpu --workers 0 --json -"
    done = subprocess.run(
        ["capsh", "--drop=cap_dac_override", "--", "-c", command], capture_output=True, text=True, cwd=Path.cwd()
    )
    for path in [run, *run.rglob("*")]:
        path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fine"]["queries"] == 48
    assert [line for line in done.stderr.splitlines() if "Permission denied" in line and line.startswith("Warning")]
