"""A self-contained HTML page: styles and scripts inline, and a policy under which it can load nothing else."""

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from coarsecon.errors import InputError
from coarsecon.pictures.origin import Origin, html_origin
from coarsecon.runtime.files import atomic_write


class Fragment(NamedTuple):
    """A part of a page: HTML already escaped, and the files of this package that style it and bring it to life.

    Its scripts share their names; those of another part do not see them.
    """

    html: str
    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()


POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
"""How the Content-Security-Policy of every page begins; it tells these pages from others."""

HEAD_BYTES = 4096
"""Bytes at the start of a page within which that policy stands."""


def write_page(path: Path | str, title: str, *parts: Fragment, origin: Origin | None = None) -> None:
    """Write the page of `parts` to `path`, in one move.

    Raises:
        InputError: Another file is there, which coarsecon did not make.
        CoarseconError: The disk refuses.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if head and POLICY.encode() not in head:
            raise InputError(f"{path}: exists and is not a page made by coarsecon; choose another file")
    atomic_write(path, page(title, *parts, origin=origin))


def page(title: str, *parts: Fragment, origin: Origin | None = None) -> bytes:
    """The whole page of `parts`, each style and script once; `title` is plain text. The page carries its `origin`.

    The Content-Security-Policy admits exactly those, by their hashes, and images only as `data:` addresses.
    """
    style = "".join(map(asset, dict.fromkeys(["page.css", *(name for part in parts for name in part.styles)])))
    scripts = ["".join(map(asset, names)) for names in dict.fromkeys(part.scripts for part in parts) if names]
    known = " ".join(map(_hash, scripts)) or "'none'"
    policy = f"{POLICY}style-src {_hash(style)}; script-src {known}"
    text = Template(asset("page.html")).substitute(
        policy=policy,
        title=escape(title),
        origin=html_origin(origin),
        style=style,
        body="\n".join(part.html for part in parts),
        scripts="\n".join(f'<script type="module">{script}</script>' for script in scripts),
    )
    return text.encode(errors="replace")  # a file name need not be valid UTF-8


def asset(name: str) -> str:
    """The text of a template, style or script file that lies beside this module."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def json_block(data: Any) -> str:
    """`data` as JSON that can stand in a `<script type="application/json">`."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
