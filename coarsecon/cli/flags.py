"""Flags of the command line for the settings and parameters that errors of the library name."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from coarsecon.cli.lazy import find_command
from coarsecon.errors import CoarseconError

FLAGS = {
    "backbone.name": "--backbone",
    "backbone.weights": "--init-from",
    "data.limit": "--limit",
    "data.path": "--data",
    "data.paths": "--data",
    "method.name": "--method",
    "run.batch_size": "--batch-size",
    "run.device": "--device",
    "run.precision": "--precision",
    "run.seed": "--seed",
    "schedule.epochs": "--epochs",
}
"""Settings that have a flag."""

NAMED = re.compile(
    r"(?<![\w-])(?P<verb>set|pass|as|with|leave|choose|omit|--[a-z-]+ and) "
    r"(?!out\b)(?P<name>[a-z][a-z_]*)(?![\w/-]|\.\w)"
    r"|\((?P<bracketed>[a-z][a-z_]*)\)"
    r"|(?<![\w./-])[a-z]+(?:_[a-z]+)+(?![\w/-]|\.\w)"
)
"""Places in a hint where a word can be a parameter: "set download", "as source", "(table)", "skip_small"."""

SETTING = re.compile(r"(?:data|backbone|method|optimizer|schedule|finetune|run)\.[a-z_0-9]+")


def message_of(error: CoarseconError, words: Sequence[str]) -> str:
    """Return the message of an error with the flags of the command that was run, and how to change other settings.

    Args:
        error: An error of the library, which names settings and parameters.
        words: The command line without the name of the program.
    """
    parameters = _parameters(words)
    options = {each.name: flags for each in parameters if (flags := [flag for flag in each.opts if flag[:2] == "--"])}
    placeholders = {each.name: each.metavar for each in parameters if each.param_type_name == "argument"}
    known = {flag for flags in options.values() for flag in flags}
    from coarsecon.run.missing import UnfinishedRunError

    subject, hint = error.subject, error.hint
    if FLAGS.get(subject) in known:
        subject = _with_flag(subject, known)
    elif subject in options:
        subject = options[subject][0]
    elif placeholders.get(subject):
        subject = placeholders[subject]
    elif SETTING.fullmatch(subject) and error.problem and "--set" in known and not hint:
        hint = f"change it with --set {subject}=VALUE"
    hint = SETTING.sub(lambda found: _with_flag(found[0], known), hint)
    for _ in range(2):  # the second pass finds "leave --preset and augment"
        hint = NAMED.sub(lambda found: _as_flag(found, options), hint)
    if isinstance(error, UnfinishedRunError):
        hint += f" with `{shlex.join(['coarsecon', 'pretrain', '--out', str(error.root), '--resume'])}`"
    return str(CoarseconError(subject, error.problem, hint))


def _with_flag(setting: str, known: Collection[str]) -> str:
    """Return the name of a setting, with its flag if the command has it."""
    flag = FLAGS.get(setting)
    return f"{setting} ({flag})" if flag in known else setting


def _as_flag(found: re.Match[str], options: Mapping[str, list[str]]) -> str:
    """Return the text of a match of `NAMED` with the flag if it names a parameter of the command, else unchanged."""
    name = found["name"] or found["bracketed"] or found[0]
    if name not in options:
        return found[0]
    verb = "pass" if found["verb"] == "set" else found["verb"]
    flag = options[name][0]
    return f"({flag})" if found["bracketed"] else f"{verb} {flag}" if verb else flag


def _parameters(words: Sequence[str]) -> list[Any]:
    """Return the options and arguments of the command in `words`."""
    try:
        return list(find_command(words).params)
    except CoarseconError:
        return []
