"""Everything that can be added to coarsecon, by kind and name, found through entry points and imported when it is used.

Built-in and third-party objects are registered the same way.
"""

import difflib
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from coarsecon.errors import CoarseconError, InputError
from coarsecon.registry.distributions import broken_distributions, entry_points_in
from coarsecon.registry.inspection import Description, Setting, describe, settings_of

METHODS = "coarsecon.methods"
DATASETS = "coarsecon.datasets"
EVALUATIONS = "coarsecon.evaluations"
CLUSTERINGS = "coarsecon.clusterings"
EXPORTERS = "coarsecon.exporters"
IMPORTERS = "coarsecon.importers"
COMMANDS = "coarsecon.commands"

KINDS = {
    METHODS: "method",
    DATASETS: "dataset",
    EVALUATIONS: "evaluation",
    CLUSTERINGS: "clustering",
    EXPORTERS: "exporter",
    IMPORTERS: "importer",
    COMMANDS: "command",
}
"""Every entry-point group, with the noun for one of its objects."""

LISTED_BY = {METHODS: "coarsecon methods", DATASETS: "coarsecon datasets", COMMANDS: "coarsecon --help"}
"""Commands that list a kind; `coarsecon plugins` lists every kind."""


@dataclass(frozen=True)
class Entry:
    """A registered object, not yet imported."""

    group: str
    name: str
    value: str
    distribution: str
    version: str

    @property
    def kind(self) -> str:
        """The noun for what it is: `method`."""
        return KINDS[self.group]

    @property
    def subject(self) -> str:
        """Name in error messages: `method 'maskcon' from coarsecon 0.1.0`."""
        return f"{self.kind} {self.name!r} from {self.distribution} {self.version}"

    def describe(self) -> Description:
        """Read its documentation and visible faults from its source, without importing it."""
        return describe(self.value, module_first=self.group in (METHODS, DATASETS))

    def settings(self) -> list[Setting]:
        """Read the declared settings from its source, without importing it; raises as `settings_of` does."""
        return settings_of(self.value)

    def load(self) -> Any:
        """Import the object.

        Raises:
            CoarseconError: The import fails, for whatever reason.
        """
        try:
            return EntryPoint(self.name, self.value, "").load()
        except (Exception, SystemExit) as error:
            raise CoarseconError(
                self.subject,
                f"failed to load {self.value}: {type(error).__name__}: {error}",
                "fix or uninstall the package",
            ) from error


@dataclass(frozen=True)
class Listed:
    """A line of the list of what is installed; `problem` is empty where no fault shows in the source."""

    kind: str
    name: str
    distribution: str
    version: str
    summary: str
    problem: str

    @property
    def text(self) -> str:
        """The first line of its documentation, or what is wrong with it."""
        return f"broken: {self.problem}" if self.problem else self.summary


def entries(*groups: str) -> list[Entry]:
    """Return all entries of some groups, sorted by name; a name that two distributions claim occurs twice."""
    found = {
        Entry(point.group, point.name, point.value, name, version)
        for (name, version), point in entry_points_in(*groups)
    }
    return sorted(found, key=lambda entry: (entry.name, entry.distribution != "coarsecon", entry.distribution))


def listing(*groups: str) -> list[Listed]:
    """Describe all entries of some groups, sorted by name, without importing them."""
    table = entries(*groups)
    clashes = claimed_twice(table)
    described = [(entry, entry.describe()) for entry in table]
    return [
        Listed(entry.kind, entry.name, entry.distribution, entry.version, found.summary,
               clashes.get(entry.name, found.problem))
        for entry, found in described
    ]  # fmt: skip


def claimed_twice(table: list[Entry]) -> dict[str, str]:
    """Return the names that two entries of a table claim, each with a sentence that names the distributions."""
    owners = defaultdict(list)
    for entry in table:
        owners[entry.name].append(entry)
    return {
        name: f"claimed by {' and '.join(f'{entry.distribution} {entry.version}' for entry in claims)}; "
        f"uninstall {_to_uninstall(claims)}"
        for name, claims in owners.items()
        if len(claims) > 1
    }


def _to_uninstall(claims: list[Entry]) -> str:
    """Return the distribution that claims a built-in name; of several third-party ones, any."""
    others = {entry.distribution for entry in claims} - {"coarsecon"}
    return others.pop() if len(others) == 1 else "one of them"


def problems() -> list[str]:
    """Return a sentence for each distribution that is broken, and for each name that two distributions claim."""
    clashes = [
        f"{noun} {name}: {problem}"
        for group, noun in KINDS.items()
        for name, problem in claimed_twice(entries(group)).items()
    ]
    return [*broken_distributions(), *clashes]


def own(group: str, name: str) -> Entry:
    """Return the entry called `name` of coarsecon itself, whoever else claims the name."""
    return next(entry for entry in entries(group) if (entry.name, entry.distribution) == (name, "coarsecon"))


def find(group: str, name: str) -> Entry:
    """Return the only entry of a group called `name`; raises as `choose` does."""
    return choose(entries(group), name, group)


def choose(table: list[Entry], name: str, group: str) -> Entry:
    """Return the only entry of a table called `name`; `group` is the kind of object that messages name.

    Raises:
        InputError: No entry has this name, or two distributions claim it.
    """
    claims = [entry for entry in table if entry.name == name]
    if not claims:
        names = sorted({entry.name for entry in table})
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}."
        lister = LISTED_BY.get(group, "coarsecon plugins")
        raise InputError(f"{KINDS[group]} {name!r}", "not found", f"{hint} `{lister}` lists all")
    if len(claims) > 1:
        owners, _, hint = claimed_twice(claims)[name].partition("; ")
        raise InputError(f"{KINDS[group]} {name!r}", owners, hint)
    return claims[0]


def load(group: str, name: str) -> Any:
    """Import and return the object of a group called `name`; raises as `find` and `Entry.load` do."""
    return find(group, name).load()


def load_class(group: str, name: str, base: type) -> Any:
    """Import the class of a group called `name`.

    Args:
        group: The entry-point group.
        name: The name of the entry.
        base: The class that it must be derived from.

    Raises:
        InputError: No entry has this name, or two distributions claim it.
        CoarseconError: It cannot be imported, is not derived from `base`, or leaves a method of it undefined.
    """
    entry = find(group, name)
    loaded = entry.load()
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        problem = f"is not a subclass of {base.__module__.removesuffix('.base')}.{base.__name__}"
    elif missing := sorted(getattr(loaded, "__abstractmethods__", ())):
        problem = f"does not define {', '.join(missing)}"
    else:
        return loaded
    raise CoarseconError(entry.subject, f"{entry.value} {problem}", "fix or uninstall the package")
