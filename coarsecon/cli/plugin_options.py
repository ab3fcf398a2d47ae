"""Commands whose options include those of the plugin that one option names: `export --to hub --push OWNER/NAME`."""

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from coarsecon.cli.generated import options_of

Command = Callable[..., Any]


def with_options_of(
    find_config: Callable[[str], type[BaseModel]], *flags: str, default: str = ""
) -> Callable[[Command], Command]:
    """Decorate a command: `**options` in its signature become the fields of a model, once the plugin is known.

    Args:
        find_config: Returns the model by the name of the plugin.
        flags: The options that take the name.
        default: The plugin if no option names one; may be empty, for the options that all have.
    """

    def decorate(command: Command) -> Command:
        def for_arguments(arguments: Sequence[str]) -> Command:
            name = _value_of(flags, arguments) or default
            return _bind(command, options_of(find_config(name)))

        bound = _bind(command, [])
        bound.for_arguments = for_arguments  # type: ignore[attr-defined]
        return bound

    return decorate


def _value_of(flags: Sequence[str], arguments: Sequence[str]) -> str | None:
    """Return the value of the first of some options among the arguments: `--to NAME` or `--to=NAME`."""
    for word, following in itertools.pairwise([*arguments, ""]):
        flag, equals, value = word.partition("=")
        if flag in flags:
            return value if equals else following
    return None


def _bind(command: Command, options: list[inspect.Parameter]) -> Command:
    """Return the command with these options in place of `**options`."""

    def bound(**given: Any) -> Any:
        return command(**given)

    shared = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    bound.__doc__, bound.__name__, bound.__module__ = command.__doc__, command.__name__, command.__module__
    bound.__dict__ |= command.__dict__
    bound.__signature__ = inspect.Signature([*shared, *options])  # type: ignore[attr-defined]
    return bound
