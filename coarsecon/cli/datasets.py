"""`coarsecon datasets [NAME]`: every dataset source that `prepare` can read."""

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coarsecon import registry
from coarsecon.cli.console import emit_json, facts, wrapped
from coarsecon.cli.methods import show_list

if TYPE_CHECKING:
    from coarsecon.data.sources import Source


def datasets(
    name: Annotated[str | None, typer.Argument(help="Tell all of one dataset.")] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """List what `prepare` can read, or tell of one: counts, label levels, home, terms, disk, citation."""
    if name is None:
        show_list("Datasets", registry.DATASETS, json)
        return
    entry = registry.find(registry.DATASETS, name)
    source: Source = entry.load()
    if json:
        told: dict[str, Any] = {field.name: getattr(source, field.name) for field in fields(source)}
        del told["read"]
        emit_json({**vars(entry), **told}, json)
        return
    print(f"{entry.name} (from {entry.distribution} {entry.version})\n\n{wrapped(source.about.strip())}\n")
    facts(_facts(source))


def _facts(source: "Source") -> dict[str, str]:
    """What is known of a source, in the words of the screen."""
    sizes = {
        "images": ", ".join(f"{split} {count:,}" for split, count in source.counts.items()),
        "classes": ", ".join(f"{level} {count:,}" for level, count in source.levels.items()),
    }
    sizes = {key: text or "as many as your files hold" for key, text in sizes.items()}
    options = ", ".join(f"--{option.replace('_', '-')}" for option in source.options)
    return sizes | {
        "variants": ", ".join(source.variants), "size": f"{source.default_size} px (--size)", "options": options,
        "home": source.url, "terms": source.terms, "disk": source.disk, "cite": source.citation,
    }  # fmt: skip
