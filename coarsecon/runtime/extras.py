"""Import the packages of an optional extra, or say how to install them."""

from importlib import import_module
from typing import Any

from coarsecon.errors import InputError

PACKAGE_OF = {"pillow_heif": "pillow-heif", "sklearn": "scikit-learn", "umap": "umap-learn"}
"""Packages whose name differs from that of the module they provide."""


def require_extra(extra: str, *modules: str, needed_by: object, instead: str = "") -> Any:
    """Import modules that an optional extra of coarsecon provides.

    Args:
        extra: Name of the extra in `pip install 'coarsecon[EXTRA]'`.
        modules: Modules to import, such as `sklearn.cluster`.
        needed_by: Subject of the error: a path, a setting, or what needs the modules, in words.
        instead: What works without them, as an imperative phrase.

    Returns:
        The first of the modules.

    Raises:
        InputError: A module is missing, or cannot be imported because a package it needs is missing.
    """
    found, missing = [], []
    for module in modules:
        try:
            found.append(import_module(module))
        except ImportError as error:
            name = (error.name or module).partition(".")[0]
            missing.append(PACKAGE_OF.get(name, name))
    if missing:
        names = " and ".join(missing)
        raise InputError(
            needed_by,
            f"needs {names}, which {'is' if len(missing) == 1 else 'are'} not installed",
            f"run `pip install 'coarsecon[{extra}]'`" + (f", or {instead}" if instead else ""),
        )
    return found[0]
