"""Dataset sources, read in a line."""

from pathlib import Path
from typing import Any

from coarsecon.data.sources import Source, SourceData, SourceRequest
from coarsecon.runtime.progress import Reporter


def read_source(
    reader: Source,
    source: Path | None = None,
    *,
    size: int | None = None,
    download: bool = False,
    reporter: Reporter | None = None,
    **options: Any,
) -> SourceData:
    """Read the original files in `source` with options of the source."""
    request = SourceRequest(source, size, download, workers=1, reporter=reporter or Reporter())
    return reader.read(request, reader.Config(**options))
