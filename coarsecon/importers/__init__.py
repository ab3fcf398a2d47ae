"""Foreign checkpoints as run folders: read without executing them, recognized, and reported on."""

from coarsecon.importers.base import Heads, Importer, ImporterConfig
from coarsecon.importers.convert import ImportReport, import_checkpoint, load_importer

__all__ = ["Heads", "ImportReport", "Importer", "ImporterConfig", "import_checkpoint", "load_importer"]
