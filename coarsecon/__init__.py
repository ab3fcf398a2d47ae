"""coarsecon: learn fine-grained image embeddings from coarse labels, and search with them."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("coarsecon")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
