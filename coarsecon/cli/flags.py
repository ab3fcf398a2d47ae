"""Flags of the command line for the settings and parameters that errors of the library name."""

import re
from collections.abc import Sequence
from typing import Any

from coarsecon.cli.lazy import find_command
from coarsecon.errors import CoarseconError

FLAGS = {
    "backbone.name": "--backbone",
    "backbone.weights": "--init-from",
    "data.limit": "--limit",
    "data.path": "--data",
    "method.name": "--method",
    "run.batch_size": "--batch-size",
    "run.device": "--device",
    "run.precision": "--precision",
    "run.seed": "--seed",
    "schedule.epochs": "--epochs",
}
"""Settings that have a flag."""

SETTING = re.compile(r"(?:data|backbone|method|optimizer|schedule|run)\.[a-z_0-9]+")


def message_of(error: CoarseconError, words: Sequence[str]) -> str:
    """Return the message of an error with the flags of the command that was run, and how to change other settings.

    Args:
        error: An error of the library, which names settings and parameters.
        words: The command line without the name of the program.
    """
    options = {name: flags for name, flags in _options(words).items() if flags}
    known = {flag for flags in options.values() for flag in flags}
    subject, hint = error.subject, error.hint
    if FLAGS.get(subject) in known:
        subject = f"{subject} ({FLAGS[subject]})"
    elif subject in options:
        subject = options[subject][0]
    elif SETTING.fullmatch(subject) and error.problem and "--set" in known and not hint:
        hint = f"change it with --set {subject}=VALUE"
    return str(CoarseconError(subject, error.problem, hint))


def _options(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the flags of each parameter of the command in `words`."""
    try:
        command: Any = find_command(words)
    except CoarseconError:
        return {}
    return {param.name: [flag for flag in param.opts if flag.startswith("--")] for param in command.params}
