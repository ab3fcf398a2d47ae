"""Other people's checkpoints as run folders: safely read, recognised, and told what of them was left out."""

from coarsecon.importing.convert import Account, import_checkpoint
from coarsecon.importing.forms import FORMS
from coarsecon.importing.recipe import Wishes

__all__ = ["FORMS", "Account", "Wishes", "import_checkpoint"]
