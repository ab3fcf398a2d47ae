"""Commands for one process are refused on several ranks, and an error that all ranks have is printed once."""

import pytest
import typer

from coarsecon.cli import processes
from coarsecon.cli.lazy import command_names, load_command

SINGLE = {
    "quickstart": [], "prepare": ["toy"], "localize": ["RUN"], "serve": ["RUN"], "report": ["RUN"], "export": ["RUN"],
    "detect": ["RUN"], "import": ["FILE", "--from", "timm", "--out", "out"], "data": ["check", "DIR"],
    "backbones": ["DATA"], "combine": ["RUN", "RUN", "--out", "out"], "review": ["RUN"],
    "classify": ["RUN", "--labels", "reviewed"], "labels": ["ls", "DATA"],
}  # fmt: skip
"""Commands that write and know no ranks, with the least that they need."""
SHARED = {"pretrain", "retrieve", "knn", "linear", "fewshot", "cluster", "stability", "tsne"}
LISTS = {"methods", "datasets", "plugins", "doctor", "recipes"}


@pytest.mark.parametrize("command", SINGLE)
def test_a_command_for_one_process_is_refused_before_it_writes(coarsecon, monkeypatch, tmp_path, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.chdir(tmp_path)
    done = coarsecon(command, *SINGLE[command])
    assert done.code == 2
    assert done.err == "error: WORLD_SIZE: is 2, but this command runs in one process; start it without torchrun\n"
    assert list(tmp_path.iterdir()) == []


def test_every_command_runs_on_several_ranks_or_refuses_or_only_lists():
    assert set(command_names()) == SHARED | LISTS | set(SINGLE)
    for name in command_names():
        loaded = load_command(name)
        commands = (
            [each.callback for each in loaded.registered_commands] if isinstance(loaded, typer.Typer) else [loaded]
        )
        assert all(hasattr(command, "single_process") == (name in SINGLE) for command in commands), name


def test_all_but_the_first_rank_of_a_machine_wait_before_they_report_an_error(coarsecon, monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr("coarsecon.cli.processes.time.sleep", waited.append)
    for rank, seconds in {"0": [], "1": [processes.FIRST_RANK_SECONDS]}.items():
        monkeypatch.setenv("LOCAL_RANK", rank)
        for wrong in (["retrieve", "nowhere"], ["retrieve", "--nowhere"]):
            waited.clear()
            assert "nowhere" in coarsecon(*wrong).err
            assert waited == seconds
