"""coarsecon: learn fine-grained image embeddings from coarse labels, and search with them."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from coarsecon.registry.distributions import skip_broken_distributions

if TYPE_CHECKING:
    from pathlib import Path

    from coarsecon.run.embedder import Embedder

__all__ = ["__version__", "load"]

skip_broken_distributions()  # before torch is imported, which looks for entry points

try:
    __version__ = version("coarsecon")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


def load(run: "str | Path", **options: Any) -> "Embedder":
    """The encoder of a run, to embed images and to search with; the options are those of `Embedder`.

    Raises:
        InputError: there is no run, or it has no encoder yet.
    """
    from coarsecon.run.embedder import Embedder

    embedder = Embedder(run, **options)
    embedder.store.encoder  # noqa: B018  a mistake is told here
    return embedder
