"""A self-contained HTML page: styles and script inline, and a policy under which it can load nothing else."""

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template


def page(title: str, body: str, *, styles: list[str], script: str | None = None) -> bytes:
    """The whole page around `body`, which is HTML already escaped by the caller; `title` is plain text.

    `styles` and `script` name files of this package. The Content-Security-Policy admits exactly those, by
    their hashes, and images only as `data:` addresses.
    """
    style = "".join(asset(name) for name in styles)
    code = asset(script) if script else ""
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(code)}"
    )
    text = Template(asset("page.html")).substitute(
        policy=policy,
        title=escape(title),
        style=style,
        body=body,
        script=f"<script>{code}</script>" if code else "",
    )
    return text.encode(errors="replace")  # a file name need not be valid UTF-8


def asset(name: str) -> str:
    """The text of a template, style or script file that lies beside this module."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
