"""Table of the images of an index: names and labels."""

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from coarsecon.errors import InputError


class ItemTable(BaseModel):
    """Names and labels of images: the class of item i at a level is `class_names[level][labels[level][i]]`.

    Levels ("coarse", "fine", ...) are optional, and a label may be -1 (unknown). `fingerprint` identifies the encoder
    and the data of the features.

    Raises:
        InputError: The parts do not match.
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
        """Return the class name of an item at a level, None if unknown."""
        label = self.labels[level][item] if level in self.labels else -1
        return self.class_names[level][label] if label >= 0 else None
