"""The images behind an index: their names and what is known of their labels."""

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from coarsecon.errors import InputError


class ItemTable(BaseModel):
    """Item i is the image `names[i]`; its class at a level is `class_names[level][labels[level][i]]`.

    Levels ("coarse", "fine", ...) are optional, and so is each label: -1 where unknown. `fingerprint` says
    which encoder and data the features came from, in whatever form the caller likes to compare. Raises
    InputError when the parts do not fit together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    names: list[str]
    labels: dict[str, list[int]] = {}
    class_names: dict[str, list[str]] = {}
    fingerprint: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for level, labels in self.labels.items():
            if len(labels) != len(self.names):
                raise InputError(f"{level} labels", f"there are {len(labels)} for {len(self.names)} images")
            classes = len(self.class_names.get(level, ()))
            if labels and not -1 <= min(labels) <= max(labels) < classes:
                raise InputError(
                    f"{level} labels", f"range from {min(labels)} to {max(labels)}, but there are {classes} class names"
                )
        return self

    def __len__(self) -> int:
        return len(self.names)

    def label(self, level: str, item: int) -> str | None:
        """The name of an item's class at a level, None where it is unknown."""
        label = self.labels[level][item] if level in self.labels else -1
        return self.class_names[level][label] if label >= 0 else None
