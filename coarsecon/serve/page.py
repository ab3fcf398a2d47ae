"""Page of a served run."""

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from coarsecon.metrics.projection import Projection
from coarsecon.pictures.origin import read_origin
from coarsecon.report import page as report
from coarsecon.run.folder import RunFolder
from coarsecon.run.provenance import Verifier
from coarsecon.serve.finder import Finder
from coarsecon.serve.guard import TOKEN_HEADER
from coarsecon.serve.marks import Marks

MAX_UPLOAD_BYTES = 20 * 2**20
"""Largest image accepted; the page does not send larger ones."""
SAMPLE_COUNT = 12
"""Images shown at first, spread over the split."""

MAP_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Policy for a map, which may run its own styles and scripts but access nothing else."""


class Page:
    """Page to search the split of `finder`."""

    def __init__(self, finder: Finder, marks: Marks, run: RunFolder, token: str) -> None:
        self.finder, self.marks, self.run = finder, marks, run
        self._verifier = Verifier(run)
        self.style = "".join(map(report.asset, ("page.css", "gallery.css"))) + asset("page.css")
        self.script = asset("page.js")
        self._data: dict[str, Any] = {
            "token": [TOKEN_HEADER, token],
            "version": finder.items.fingerprint[-12:],
            "split": finder.split,
            "classes": finder.classes(),
            "samples": [
                {"number": number, "name": finder.items.names[number], "labels": finder.labels(number)}
                for number in range(0, len(finder.items), max(1, len(finder.items) // SAMPLE_COUNT))
            ][:SAMPLE_COUNT],
            "most_bytes": MAX_UPLOAD_BYTES,
        }

    def html(self, map_file: Path | None) -> bytes:
        """Render the page in its current state; `map_file` is the run's map, if there is one."""
        about = map_file and [map_file.stem, str(self._verifier.check(read_origin(map_file), map_file))]
        template = report.environment(__package__).get_template("page.html")
        text = template.render(
            run=self.run.root,
            count=len(self.finder.items),
            split=self.finder.split,
            is_exact=self.finder.index.exact,
            map=about and ", ".join(filter(None, about)),
            map_command=shlex.join(["coarsecon", "tsne", str(self.run.root)]),
            marks=self.marks.file,
            data={**self._data, "marks": len(self.marks)},
        )
        return text.encode(errors="replace")  # a path need not be valid UTF-8


def latest_map(run: RunFolder) -> Path | None:
    """Return the newest map page among the figures of a run; links that leave the run are ignored."""
    found = [file for method in get_args(Projection) for file in run.files(run.figures, f"{method}*.html")]
    return max(found, key=lambda file: file.stat().st_mtime, default=None)


def asset(name: str) -> str:
    """Return the text of a style or script file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
