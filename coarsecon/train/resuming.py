"""Settings of a training that is resumed: some may change, all others must stay the same."""

from pathlib import Path
from typing import Any

from coarsecon.config import RESUMABLE, Settings, merge
from coarsecon.errors import InputError


def with_resumable(saved: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the saved settings of a training, with those of `asked` that may change when it is resumed.

    A path that the training was started without cannot be added.
    """
    for name in RESUMABLE:
        section, _, key = name.partition(".")
        before, after = saved.get(section) or {}, asked.get(section) or {}
        if key in after and before.get(key, ...) is not None:
            saved = merge(saved, {section: {key: after[key]}})
    return saved


def with_saved_version(saved: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return `asked` with the version of the label column of the saved settings, where both name the same column."""
    before, after = (str((layers.get("data") or {}).get("labels")) for layers in (saved, asked))
    return merge(asked, {"data": {"labels": before}}) if before.startswith(f"{after}@") else asked


def check_same_settings(saved: Settings, asked: Settings, folder: Path) -> None:
    """Check that the training in `folder` is resumed with the settings it was started with.

    Raises:
        InputError: A setting differs; it is named with both values.
    """
    saved_sections = saved.model_dump(mode="json")
    for section, values in asked.model_dump(mode="json").items():
        for key, value in values.items() if isinstance(values, dict) else ():
            before = saved_sections[section].get(key)
            if value != before:
                problem = f"cannot resume: {section}.{key} was {before!r}, now {value!r}"
                raise InputError(folder, problem, "choose another folder for other settings")
