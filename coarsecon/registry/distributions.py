"""Entry points of the installed distributions, any of which may be broken; the others stay usable.

`importlib.metadata` raises at the first `entry_points.txt` that it cannot read, and PyTorch searches these files for
its backends at import. `skip_broken_distributions` makes it ignore such a file, for every library in the process.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions
from typing import Any

_entry_points_of: Any = Distribution.entry_points.fget  # type: ignore[attr-defined]


def skip_broken_distributions() -> None:
    """Make `importlib.metadata` treat a distribution whose entry points cannot be read as one that has none."""
    if Distribution.entry_points.fget is _entry_points_of:  # type: ignore[attr-defined]
        Distribution.entry_points = property(_readable_entry_points)  # type: ignore[assignment, method-assign]


def _readable_entry_points(distribution: Distribution) -> EntryPoints:
    try:
        found: EntryPoints = _entry_points_of(distribution)
    except Exception:  # `broken_distributions` reports it
        return EntryPoints()
    return found


def entry_points_in(*groups: str) -> Iterator[tuple[tuple[str, str], EntryPoint]]:
    """Yield (name and version of the distribution, entry point); of two copies the first on the path counts."""
    seen: set[str] = set()
    for distribution in distributions():
        points = [point for point in _readable_entry_points(distribution) if point.group in groups]
        if not points:
            continue
        owner = owner_of(distribution)
        normalized = re.sub(r"[-_.]+", "-", owner[0]).lower().replace("?", str(_folder(distribution)))
        if normalized not in seen:
            seen.add(normalized)
            yield from ((owner, point) for point in points)


def broken_distributions() -> list[str]:
    """Return a sentence for each distribution whose entry points cannot be read."""
    found = []
    for distribution in distributions():
        try:
            _entry_points_of(distribution)
        except Exception as error:
            name, version = owner_of(distribution)
            found.append(
                f"distribution {name} {version}: {_folder(distribution)}/entry_points.txt cannot be read "
                f"({type(error).__name__}); reinstall or uninstall it"
            )
    return found


def owner_of(distribution: Distribution) -> tuple[str, str]:
    """Return the name and version of a distribution; "?" for each that its metadata lack."""
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "?", metadata["Version"] or "?"
    except Exception:
        return "?", "?"


def _folder(distribution: Distribution) -> Any:
    """Return the folder of its metadata, if it is known."""
    return getattr(distribution, "_path", "?")
