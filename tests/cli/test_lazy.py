"""Commands from entry points: listed without being imported, loaded when they are used, broken ones kept apart."""

import sys

import pytest

GREET = '''
import typer
def Mine(name: str = "you") -> None:
    """Greet somebody. And more."""
    print(f"hello {name}")
'''
GROUP = '''
"""A group of greetings."""
import typer
Mine = typer.Typer(help="Greetings.")
@Mine.command()
def hello() -> None:
    """Greet."""
    print("hello")
@Mine.command()
def bye() -> None:
    """Leave."""
    print("bye")
'''


@pytest.fixture
def installed(install_plugin):
    """Three commands of other packages: a function, a group, and one that cannot be imported."""
    return [
        install_plugin(f"their-{name}", name, source, group="coarsecon.commands")
        for name, source in (("greet", GREET), ("greetings", GROUP), ("ruined", "import no_such_package\n"))
    ]


def test_help_lists_commands_of_other_packages_without_importing_them(installed, coarsecon):
    shown = coarsecon("--help").out
    assert "Greet somebody." in shown
    assert "A group of greetings." in shown
    assert "broken: it needs no_such_package" in " ".join(shown.replace("│", "").split())
    assert not set(installed) & set(sys.modules)
    names = [line.split()[1] for line in shown.splitlines() if line.startswith("│ ") and line[2].isalpha()]
    assert names[:3] == ["quickstart", "prepare", "pretrain"]
    assert {"retrieve", "data", "greet", "greetings", "ruined"} <= set(names)


def test_a_command_runs_and_shows_its_help(installed, coarsecon):
    assert coarsecon("greet", "--name", "Ada").out == "hello Ada\n"
    assert "--name" in coarsecon("greet", "--help").out
    assert coarsecon("greetings", "bye").out == "bye\n"
    assert "Leave." in coarsecon("greetings", "--help").out
    assert "their_ruined" not in sys.modules


def test_a_broken_command_reports_its_package_and_breaks_no_other(installed, coarsecon):
    done = coarsecon("ruined")
    assert done.code == 1
    assert "their-ruined 1.0" in done.err
    assert "no_such_package" in done.err
    assert coarsecon("methods").code == 0


def test_a_command_that_is_no_function_is_reported(install_plugin, coarsecon):
    install_plugin("their-number", "number", "Mine = 3\n", group="coarsecon.commands")
    done = coarsecon("number")
    assert done.code == 1
    assert (
        "command 'number' from their-number 1.0: their_number:Mine is neither a function nor a typer.Typer" in done.err
    )


def test_a_name_claimed_by_a_command_and_an_evaluation_is_an_error_that_names_both(install_plugin, coarsecon):
    install_plugin("first", "both", GREET, group="coarsecon.commands")
    install_plugin("second", "both", GREET, group="coarsecon.evaluations")
    done = coarsecon("both")
    assert done.code == 2
    assert "first 1.0 and second 1.0" in done.err
    assert "broken: claimed by first 1.0 and second 1.0" in " ".join(coarsecon("--help").out.replace("│", "").split())


def test_a_misspelled_command_gets_the_nearest_name(installed, coarsecon):
    done = coarsecon("greting")
    assert done.code == 2
    assert "did you mean greeting" in done.err or "did you mean greet" in done.err
