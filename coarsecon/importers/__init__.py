"""Other people's checkpoints as run folders: safely read, recognised, and told what of them was left out."""

from coarsecon.importers.convert import Account, import_checkpoint
from coarsecon.importers.forms import FORMS
from coarsecon.importers.recipe import Wishes

__all__ = ["FORMS", "Account", "Wishes", "import_checkpoint"]
