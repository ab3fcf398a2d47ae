"""coarsecon: learn fine-grained image embeddings from coarse labels, and search with them."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from coarsecon.registry.distributions import skip_broken_distributions

if TYPE_CHECKING:
    from pathlib import Path

    from coarsecon.data.prepared.store import PreparedDataset
    from coarsecon.run.embedder import Embedder

__all__ = ["__version__", "load", "prepare"]

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


def prepare(name: str, out: "str | Path", **options: Any) -> "PreparedDataset":
    """Read a dataset from its original files and write it in the prepared form to the folder `out`.

    The options are those of `coarsecon.data.prepare.dataset.prepare_dataset` and of the source `name`.

    Raises:
        InputError: There is no such source, an option is invalid, or the original files are missing or damaged.

    Example:
        >>> coarsecon.prepare("folder", "data/birds", source="photos", size=64)  # doctest: +SKIP
    """
    from coarsecon.data.prepare.dataset import prepare_dataset

    return prepare_dataset(name, out, **options)
