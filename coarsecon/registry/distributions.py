"""Entry points of the installed distributions, any of which may be broken; the others stay usable.

`importlib.metadata` raises at the first `entry_points.txt` that it cannot read, and PyTorch looks for its backends
there at import. `skip_broken_distributions` makes it leave such a distribution out, for every library in the process.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions
from typing import Any

_entry_points_of: Any = Distribution.entry_points.fget  # type: ignore[attr-defined]


def skip_broken_distributions() -> None:
    """Make `importlib.metadata` take a distribution whose entry points cannot be read for one without any."""
    if Distribution.entry_points.fget is _entry_points_of:  # type: ignore[attr-defined]
        Distribution.entry_points = property(_readable_entry_points)  # type: ignore[assignment, method-assign]


def _readable_entry_points(distribution: Distribution) -> EntryPoints:
    try:
        found: EntryPoints = _entry_points_of(distribution)
    except Exception:  # it is shown by `broken_distributions`
        return EntryPoints()
    return found


def entry_points_in(group: str) -> Iterator[tuple[Distribution, EntryPoint]]:
    """Yield the entry points of a group with their distributions; of two copies the first on the path counts."""
    seen: set[str] = set()
    for distribution in distributions():
        own = [point for point in _readable_entry_points(distribution) if point.group == group]
        if not own:
            continue
        name = re.sub(r"[-_.]+", "-", owner_of(distribution)[0]).lower().replace("?", str(_folder(distribution)))
        if name not in seen:
            seen.add(name)
            yield from ((distribution, point) for point in own)


def broken_distributions() -> list[str]:
    """Return a sentence for each distribution whose entry points cannot be read."""
    found = []
    for distribution in distributions():
        try:
            _entry_points_of(distribution)
        except Exception as error:
            name, version = owner_of(distribution)
            found.append(
                f"distribution {name} {version} is broken: {_folder(distribution)}/entry_points.txt cannot be read "
                f"({type(error).__name__}); reinstall or uninstall it"
            )
    return found


def owner_of(distribution: Distribution) -> tuple[str, str]:
    """Return the name and version of a distribution, each "?" where its metadata do not say."""
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "?", metadata["Version"] or "?"
    except Exception:
        return "?", "?"


def _folder(distribution: Distribution) -> Any:
    """Return the folder of its metadata, as far as it is known."""
    return getattr(distribution, "_path", "?")
