"""The page of a served run: its template filled in, its style and its script."""

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

UPLOAD_BYTES = 20 * 2**20
"""Of an image at most; the page does not even send more."""
SAMPLES = 12
"""Images to begin with, spread over the split."""

MAP_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A map brings its style and scripts with it; it may run them, and reach nothing."""


class Page:
    """The page on which one searches the split of `finder`."""

    def __init__(self, finder: Finder, marks: Marks, run: RunFolder, token: str) -> None:
        self.finder, self.marks, self.run = finder, marks, run
        self._verifier = Verifier(run)
        self.style = "".join(map(report.asset, ("page.css", "gallery.css"))) + _asset("page.css")
        self.script = _asset("page.js")
        self._data: dict[str, Any] = {
            "token": [TOKEN_HEADER, token],
            "version": finder.items.fingerprint[-12:],
            "split": finder.split,
            "classes": finder.classes(),
            "samples": [
                {"number": number, "name": finder.items.names[number], "labels": finder.labels(number)}
                for number in range(0, len(finder.items), max(1, len(finder.items) // SAMPLES))
            ][:SAMPLES],
            "most_bytes": UPLOAD_BYTES,
        }

    def html(self, map_file: Path | None) -> bytes:
        """The page as it is now; `map_file` is the run's map, if there is one."""
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
    """The newest map page among the figures of a run; none to which a link leads out of the run."""
    found = [file for method in get_args(Projection) for file in run.files(run.figures, f"{method}*.html")]
    return max(found, key=lambda file: file.stat().st_mtime, default=None)


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
