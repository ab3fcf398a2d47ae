"""Self-contained HTML pages: inline styles and scripts, under a policy that forbids loading anything else."""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from coarsecon.errors import InputError
from coarsecon.pictures.draw import css
from coarsecon.pictures.images import SMALL, data_uri, jpeg, thumbnail_uri
from coarsecon.pictures.origin import NAME, Origin
from coarsecon.report.palette import palette
from coarsecon.runtime.files import atomic_write

THUMBNAIL_SIZE = 160
"""Longer side, in pixels, of an image on a page."""

POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
"""Start of the Content-Security-Policy of every page, by which pages made by coarsecon are recognized."""

HEAD_BYTES = 4096
"""Bytes at the start of a page that include the policy."""


class Fragment(NamedTuple):
    """Part of a page: HTML, and the style and script files of this package that it needs.

    The scripts of one fragment share their names; other fragments do not see them.
    """

    html: Markup
    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()


@cache
def environment(package: str = __package__) -> Environment:
    """Return the Jinja environment of the templates in `package`: every value is escaped, undefined names fail."""
    templates = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":")}  # of the filter `tojson`, safe in a script
    templates.filters |= {
        "thumbnail": lambda pixels: thumbnail_uri(pixels, THUMBNAIL_SIZE),
        "jpeg": lambda pixels: data_uri("jpeg", jpeg(Image.fromarray(pixels))),
        "anchor": lambda name: "".join(letter if letter.isalnum() else "-" for letter in name.lower()),
    }
    templates.filters["series_color"] = lambda series, count: css(palette(count)[series])
    templates.tests["small"] = lambda pixels: max(pixels.shape[:2]) <= SMALL
    return templates


def render(template: str, **values: Any) -> Markup:
    """Render a template file of this package."""
    return Markup(environment().get_template(template).render(values))


def macro(template: str, name: str, *arguments: Any) -> Markup:
    """Render a macro of a template file of this package."""
    return Markup(getattr(environment().get_template(template).module, name)(*arguments))


def write_page(path: Path | str, title: str, *parts: Fragment, layout: str = "", origin: Origin | None = None) -> None:
    """Write the page of `parts` to `path` atomically; see `page`.

    Raises:
        InputError: `path` is a file that coarsecon did not make.
        CoarseconError: The file cannot be written.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if head and POLICY.encode() not in head:
            raise InputError(path, "exists and is not a page made by coarsecon", "choose another file")
    atomic_write(path, page(title, *parts, layout=layout, origin=origin))


def page(title: str, *parts: Fragment, layout: str = "", origin: Origin | None = None) -> bytes:
    """Render a page of `parts` with each style and script once.

    The Content-Security-Policy allows exactly these styles and scripts, by their hashes, and images only as `data:`
    addresses.

    Args:
        title: Plain text.
        layout: CSS class of the `main` element.
        origin: What the page was computed from, stored in its head.
    """
    style = "".join(map(asset, dict.fromkeys(["page.css", *(name for part in parts for name in part.styles)])))
    scripts = ["".join(map(asset, names)) for names in dict.fromkeys(part.scripts for part in parts) if names]
    policy = f"{POLICY}style-src {_hashes([style])}; script-src {_hashes(scripts)}"
    text = render(
        "page.html",
        policy=Markup(policy),
        title=title,
        origin=None if origin is None else (NAME, json.dumps(origin)),
        style=Markup(style),
        layout=layout,
        parts=[part.html for part in parts],
        scripts=map(Markup, scripts),
    )
    return text.encode(errors="replace")  # a file name need not be valid UTF-8


def asset(name: str) -> str:
    """Return the text of a style or script file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hashes(texts: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
