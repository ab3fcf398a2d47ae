"""`coarsecon datasets [NAME]`: the dataset sources that `prepare` can read."""

from typing import TYPE_CHECKING, Annotated

import typer

from coarsecon import registry
from coarsecon.cli.console import emit_json, facts, table, wrapped
from coarsecon.cli.generated import option_name
from coarsecon.cli.plugins import show_list

if TYPE_CHECKING:
    from coarsecon.data.sources import Source

FACTS = (
    "name", "about", "counts", "default_size", "levels", "url", "terms", "citation", "disk", "options", "variants",
)  # fmt: skip
"""Attributes of a source in the JSON output."""


def datasets(
    name: Annotated[str | None, typer.Argument(help="Show the details of this dataset.")] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """List the datasets that `prepare` can read, or show one: counts, label levels, terms, disk space, options."""
    if name is None:
        show_list("Datasets", registry.DATASETS, json)
        return
    from coarsecon.data.sources import find_source

    entry, source = registry.find(registry.DATASETS, name), find_source(name)
    if json:
        emit_json({**vars(entry), **{fact: getattr(source, fact) for fact in FACTS}}, json)
        return
    print(f"{entry.name} (from {entry.distribution} {entry.version})\n\n{wrapped(source.about.strip())}\n")
    facts(_facts(source))
    if source.options:
        rows = [(option_name(key), field.description or "") for key, field in source.Config.model_fields.items()]
        print()
        table(f"Options of `prepare {name}`", ["option", "what"], rows, numbers=False)


def _facts(source: "Source") -> dict[str, str]:
    """Return what is known of a source, as shown on the screen."""
    sizes = {
        "images": ", ".join(f"{split} {count:,}" for split, count in source.counts.items()),
        "classes": ", ".join(f"{level} {count:,}" for level, count in source.levels.items()),
    }
    sizes = {key: text or "depends on your files" for key, text in sizes.items()}
    return sizes | {
        "variants": ", ".join(source.variants), "size": f"{source.default_size} px (--size)", "home": source.url,
        "terms": source.terms, "disk": source.disk, "cite": source.citation,
    }  # fmt: skip
