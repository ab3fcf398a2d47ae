"""The description of the environment: the commit of the package's own checkout, read without starting a program."""

import os
import subprocess
import sys

import pytest
import torch
from launch import python

from coarsecon.train.environment import describe_environment, git_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_git(folder, head, **files):
    git = folder / ".git"
    for name, text in {"HEAD": head, **files}.items():
        path = git / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


def test_a_detached_head_is_read(tmp_path):
    assert git_commit(write_git(tmp_path, COMMIT)) == COMMIT


def test_a_branch_is_read_from_its_own_file(tmp_path):
    assert git_commit(write_git(tmp_path, "ref: refs/heads/main", **{"refs/heads/main": COMMIT})) == COMMIT


def test_a_branch_is_read_from_packed_references(tmp_path):
    packed = f"# pack-refs with: peeled fully-peeled sorted\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main"
    assert git_commit(write_git(tmp_path, "ref: refs/heads/main", **{"packed-refs": packed})) == COMMIT


def test_a_linked_worktree_is_followed(tmp_path):
    main, linked = tmp_path / "main", tmp_path / "linked"
    write_git(main, "ref: refs/heads/main", **{
        "refs/heads/topic": COMMIT,
        "worktrees/linked/HEAD": "ref: refs/heads/topic",
        "worktrees/linked/commondir": "../..",
    })  # fmt: skip
    linked.mkdir()
    (linked / ".git").write_text(f"gitdir: {main}/.git/worktrees/linked\n")
    assert git_commit(linked) == COMMIT


def test_gits_own_answer_is_the_same(tmp_path):
    def git(*words):
        own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        names = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(
            ["git", *names, *words], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(done.stderr)
        return done.stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "first")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD")
    git("pack-refs", "--all")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD")


@pytest.mark.parametrize("head", ["", "ref: refs/heads/unborn", "ref: /etc/hostname", "not a commit", "\x00" * 9000])
def test_a_checkout_without_a_commit_has_none(tmp_path, head):
    assert git_commit(write_git(tmp_path, head)) == ""


def test_a_folder_without_git_has_no_commit(tmp_path):
    assert git_commit(tmp_path) == ""


def test_no_program_is_started_to_describe_the_environment(tmp_path, monkeypatch):
    """A hostile repository in the current folder, and programs of the usual names first on PATH, stay unused."""
    canary = tmp_path / "canary"
    script = tmp_path / "bin" / "hostile"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {canary}\n")
    script.chmod(0o755)
    for name in ("git", "uname", "file", "lscpu"):
        (script.parent / name).symlink_to(script)
    write_git(tmp_path, COMMIT, config=f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {script}")
    (tmp_path / ".git" / "objects").mkdir()
    (tmp_path / ".git" / "refs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    code = (
        "import json, torch; from coarsecon.train.environment import describe_environment\n"
        "from coarsecon.report.installation import machine\n"
        "machine(torch.device('cpu')); print(json.dumps(describe_environment(torch.device('cpu'), 'float32')))"
    )
    done = python("-c", code)
    assert done.code == 0, done.err
    assert not canary.exists()
    assert COMMIT not in done.out


def test_the_commit_is_that_of_the_package():
    described = describe_environment(torch.device("cpu"), "float32")
    assert len(described["git"]) in (0, 40, 64)
    assert described["python"] == sys.version.partition(" ")[0]
