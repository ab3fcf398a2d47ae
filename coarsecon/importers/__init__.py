"""Foreign checkpoints as run folders: read without executing them, recognized, and reported on."""

from coarsecon.importers.base import Heads, Importer, ImporterConfig

__all__ = ["Heads", "Importer", "ImporterConfig"]
