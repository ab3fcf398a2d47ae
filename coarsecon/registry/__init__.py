"""Methods and dataset sources by name, from entry points: built-ins and strangers' packages stand in one table."""

import difflib
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Literal

from coarsecon.errors import CoarseconError, InputError
from coarsecon.registry.distributions import broken_distributions, entry_points_in, owner_of
from coarsecon.registry.inspection import Description, describe

Group = Literal["coarsecon.methods", "coarsecon.datasets"]
METHODS: Group = "coarsecon.methods"
DATASETS: Group = "coarsecon.datasets"


@dataclass(frozen=True)
class Entry:
    """One registered object, not yet imported."""

    name: str
    value: str
    distribution: str
    version: str

    def describe(self) -> Description:
        """What its source says of itself, read without importing it."""
        return describe(self.value)

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


def entries(group: Group) -> list[Entry]:
    """All entries of a group, sorted by name; a name that two distributions claim stands twice."""
    found = {Entry(point.name, point.value, *owner_of(owner)) for owner, point in entry_points_in(group)}
    return sorted(found, key=lambda entry: (entry.name, entry.distribution != "coarsecon", entry.distribution))


def problems() -> list[str]:
    """Return a sentence for each distribution that is broken, and for each name that two distributions claim."""
    clashes = []
    for group in (METHODS, DATASETS):
        table = entries(group)
        names = [entry.name for entry in table]
        for name in sorted({name for name in names if names.count(name) > 1}):
            clashes.append(_clash(group, name, [entry for entry in table if entry.name == name]))
    return [*broken_distributions(), *clashes]


def _clash(group: Group, name: str, claims: list[Entry]) -> str:
    owners = " and ".join(f"{entry.distribution} {entry.version}" for entry in claims)
    return f"the {_kind(group)} name {name!r} is claimed by {owners}; uninstall one of them."


def _kind(group: Group) -> str:
    return group.rpartition(".")[2].removesuffix("s")


def own(group: Group, name: str) -> Entry:
    """Return the entry called `name` of coarsecon itself, whoever else claims the name."""
    return next(entry for entry in entries(group) if (entry.name, entry.distribution) == (name, "coarsecon"))


def find(group: Group, name: str) -> Entry:
    """The one entry called `name`.

    Raises:
        InputError: nothing is called so (the nearest name is told), or two distributions claim the name.
    """
    table = entries(group)
    claims = [entry for entry in table if entry.name == name]
    kind = _kind(group)
    if not claims:
        names = sorted({entry.name for entry in table})
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}."
        raise InputError(f"there is no {kind} called {name!r}; {hint} `coarsecon {kind}s` lists them.")
    if len(claims) > 1:
        raise InputError(_clash(group, name, claims))
    return claims[0]


def load(group: Group, name: str) -> Any:
    """Import and return the object called `name`; raises as `find` and `Entry.load` do."""
    return find(group, name).load()
