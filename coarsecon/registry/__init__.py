"""Everything that can be added to coarsecon, by kind and name, found through entry points and imported when it is used.

Built-in and third-party objects are registered the same way.
"""

import difflib
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from coarsecon.errors import CoarseconError, InputError
from coarsecon.registry.distributions import broken_distributions, entry_points_in, owner_of
from coarsecon.registry.inspection import Description, describe

METHODS = "coarsecon.methods"
DATASETS = "coarsecon.datasets"
EVALUATIONS = "coarsecon.evaluations"
EXPORTERS = "coarsecon.exporters"
IMPORTERS = "coarsecon.importers"
COMMANDS = "coarsecon.commands"

KINDS = {
    METHODS: "method",
    DATASETS: "dataset",
    EVALUATIONS: "evaluation",
    EXPORTERS: "exporter",
    IMPORTERS: "importer",
    COMMANDS: "command",
}
"""Every entry-point group, with the noun for one of its objects."""

LISTED_BY = {METHODS: "coarsecon methods", DATASETS: "coarsecon datasets", COMMANDS: "coarsecon --help"}
"""Commands that list a kind; `coarsecon plugins` lists every kind."""


@dataclass(frozen=True)
class Entry:
    """One registered object, not yet imported."""

    group: str
    name: str
    value: str
    distribution: str
    version: str

    @property
    def kind(self) -> str:
        """The noun for what it is: `method`."""
        return KINDS[self.group]

    def describe(self) -> Description:
        """Read its documentation, settings and visible faults from its source, without importing it."""
        return describe(self.value, module_first=self.group in (METHODS, DATASETS))

    def load(self) -> Any:
        """Import the object.

        Raises:
            CoarseconError: importing it fails, whatever the reason.
        """
        try:
            return EntryPoint(self.name, self.value, "").load()
        except (Exception, SystemExit) as error:
            raise CoarseconError(
                f"{self.name} ({self.value}, from {self.distribution} {self.version}) is broken: "
                f"{type(error).__name__}: {error}. Mend or uninstall that package."
            ) from error


def entries(*groups: str) -> list[Entry]:
    """Return all entries of some groups, sorted by name; a name that two distributions claim occurs twice."""
    found = {
        Entry(group, point.name, point.value, *owner_of(owner))
        for group in groups
        for owner, point in entry_points_in(group)
    }
    return sorted(found, key=lambda entry: (entry.name, entry.distribution != "coarsecon", entry.distribution))


def claimed_twice(table: list[Entry]) -> dict[str, str]:
    """Return the names in a table that two entries claim, each with a sentence that names the distributions."""
    clashes = {}
    for name in sorted({entry.name for entry in table}):
        claims = [entry for entry in table if entry.name == name]
        if len(claims) > 1:
            owners = " and ".join(f"{entry.distribution} {entry.version}" for entry in claims)
            clashes[name] = f"claimed by {owners}; uninstall one of them"
    return clashes


def problems() -> list[str]:
    """Return a sentence for each distribution that is broken, and for each name that two distributions claim."""
    clashes = [
        f"the {noun} name {name!r} is {problem}."
        for group, noun in KINDS.items()
        for name, problem in claimed_twice(entries(group)).items()
    ]
    return [*broken_distributions(), *clashes]


def own(group: str, name: str) -> Entry:
    """Return the entry called `name` of coarsecon itself, whoever else claims the name."""
    return next(entry for entry in entries(group) if (entry.name, entry.distribution) == (name, "coarsecon"))


def find(group: str, name: str) -> Entry:
    """Return the one entry of a group called `name`; raises as `choose` does."""
    return choose(entries(group), name, group)


def choose(table: list[Entry], name: str, group: str) -> Entry:
    """Return the one entry of a table called `name`; `group` is the kind of object that messages speak of.

    Raises:
        InputError: No entry has this name, or two distributions claim it.
    """
    kind = KINDS[group]
    claims = [entry for entry in table if entry.name == name]
    if not claims:
        names = sorted({entry.name for entry in table})
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}."
        lister = LISTED_BY.get(group, "coarsecon plugins")
        raise InputError(f"there is no {kind} called {name!r}; {hint} `{lister}` lists them.")
    if len(claims) > 1:
        raise InputError(f"the {kind} name {name!r} is {claimed_twice(claims)[name]}.")
    return claims[0]


def load(group: str, name: str) -> Any:
    """Import and return the object of a group called `name`; raises as `find` and `Entry.load` do."""
    return find(group, name).load()
