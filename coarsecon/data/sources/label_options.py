"""Options of sources that read labels from columns that the user names."""

import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from coarsecon.data.prepared.schema import LEVEL_NAME
from coarsecon.data.sources import SourceConfig


class LabelOptions(SourceConfig):
    """Columns of image paths and labels, and how labels are read."""

    path: str | None = Field(
        None,
        description="Column of image paths. Default: path, filename, image or another usual name.",
        json_schema_extra={"metavar": "COLUMN"},
    )
    coarse: str | None = Field(
        None,
        description="Column of coarse labels. Default: coarse, category, label or a similar name.",
        json_schema_extra={"metavar": "COLUMN"},
    )
    fine: str | None = Field(
        None,
        description="Column of fine labels. Default: fine, species or a similar name, if there is one.",
        json_schema_extra={"metavar": "COLUMN"},
    )
    label_columns: tuple[str, ...] = Field(
        (),
        description="Column that becomes a further label level; repeatable, or several separated by commas.",
        json_schema_extra={"metavar": "COLUMN"},
    )
    group: str | None = Field(
        None,
        description="Column of the object, animal or session in an image: images with the same value stay in one split "
        "or fold.",
        json_schema_extra={"metavar": "COLUMN"},
    )
    coarse_map: Path | None = Field(
        None,
        description="Table with the columns fine and coarse, which derives coarse labels from fine ones.",
        json_schema_extra={"metavar": "FILE"},
    )
    keep_na: bool = Field(
        False, description="Read labels such as NA, None or null as class names, not as missing values."
    )

    @field_validator("label_columns", mode="before")
    @classmethod
    def _split(cls, names: Any) -> Any:
        """Split names at commas, and refuse those that cannot name a level."""
        parts = split_names(names)
        for name in parts:
            if name in ("coarse", "fine"):
                raise ValueError(f"{name!r} is already a level; name further columns")
        return parts


def split_names(names: Any) -> tuple[str, ...]:
    """Split one text or several at commas; raises ValueError for a part that cannot name a level."""
    given = [names] if isinstance(names, str) else names or ()
    parts = tuple(part.strip() for name in given for part in name.split(","))
    for name in parts:
        if not re.fullmatch(LEVEL_NAME, name):
            raise ValueError(f"{name!r} is not a valid level name; use letters, digits, - and _")
    return parts
