"""Origin of a figure (the fingerprints it was computed from) as JSON inside the file: PNG, SVG or HTML."""

import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from coarsecon.errors import InputError
from coarsecon.runtime.documents import parse_json

Origin = Mapping[str, Any]
"""Fingerprints from `run.provenance.computed_from`."""

NAME = "coarsecon:computed_from"
HEAD = 2**16
"""Bytes at the start of an HTML page that include its origin."""


def png_origin(origin: Origin | None) -> PngInfo | None:
    """Return the origin as a text chunk of a PNG."""
    if origin is None:
        return None
    info = PngInfo()
    info.add_text(NAME, json.dumps(origin))
    return info


def read_origin(file: Path) -> Any:
    """Read the origin of a PNG or an HTML page; None if there is none or it cannot be read."""
    try:
        if file.suffix == ".png":
            with Image.open(file, formats=["PNG"]) as image:
                text = image.info.get(NAME)
        else:
            with file.open("rb") as stream:
                head = stream.read(HEAD).decode("utf-8", "replace")
            found = re.search(rf'<meta name="{NAME}" content="([^"]*)">', head)
            text = unescape(found[1]) if found else None
        return None if text is None else parse_json(text, str(file), remedy="draw it again")
    except (OSError, ValueError, InputError, SyntaxError):  # Pillow raises SyntaxError on a broken header
        return None
