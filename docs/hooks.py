"""Hooks of mkdocs: pages generated from the code, and pages that live elsewhere in the repository."""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import reference

ROOT = Path(__file__).resolve().parents[1]
BORROWED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "LICENSE": "LICENSE.txt",
    "benchmarks/RESULTS.md": "measured.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/gpu.md": "gpu.md",
}
"""Files outside `docs/` and their paths in the site."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in `docs/`."""
    for path, place in BORROWED.items():
        files.append(File.generated(config, place, content=moved_links((ROOT / path).read_text("utf-8"), path)))
    for place, write in reference.PAGES.items():
        files.append(File.generated(config, place, content=write()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links that lead out of `docs/` to the pages of the site."""
    path = page.file.src_uri
    return markdown if path in {*BORROWED.values(), *reference.PAGES} else moved_links(markdown, f"docs/{path}")


def moved_links(markdown: str, origin: str) -> str:
    """Rewrite the links of the repository file `origin` for the site; links to source code become plain text."""

    def moved(match: re.Match[str]) -> str:
        text, link, anchor = match.groups("")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
        if target in BORROWED:
            return f"[{text}]({BORROWED[target]}{anchor})"
        return f"[{text}]({target.removeprefix('docs/')}{anchor})" if target.startswith("docs/") else text

    return re.sub(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)", moved, markdown)
