"""Base of importers: one class that knows where a foreign checkpoint keeps its backbone and heads.

It is registered in `coarsecon.importers` under its name for `coarsecon import --from`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from coarsecon.config import Pooling

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]
Filter = Literal["none", "high-pass"]
Statistics = Literal["weights", "imagenet", "cifar10", "cifar100", "half", "data"]
Stem = Literal["small", "small-pool", "standard"]


class ImporterConfig(BaseModel):
    """Facts about a checkpoint that the user knows.

    None: taken from the card next to the file, else from the weights, the dataset or the usual choice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str | None = Field(None, description="timm name of the network. ResNets are recognized by their weights.")
    stem: Stem | None = Field(None, description="Stem of the network, if its weights do not determine it.")
    pooling: Pooling | None = Field(
        None, description="Features of a transformer: class token, mean of patch tokens, or both. Default: timm's."
    )
    size: int | None = Field(None, ge=1, description="Image size in pixels that the encoder was trained on.")
    normalize: Statistics | None = Field(
        None,
        description="Normalization of its images. weights: mean, std, interpolation and center crop that timm, or a "
        "card or config.json next to the file, names for them; half: mean and std 0.5; data: those of the dataset. "
        "All but weights resize complete images to a square. Default: weights for --from timm, else imagenet above "
        "64 px, data up to that.",
        json_schema_extra={"old_name": "normalise"},
    )
    filter: Filter | None = Field(None, description="Filter of the images that it was trained on.")
    weights_key: str | None = Field(
        None,
        description="Weights of a file with several, by their key or a part of their prefix, such as state_dict_ema or "
        "teacher. Default: plain weights before averaged ones.",
        json_schema_extra={"metavar": "NAME"},
    )


@dataclass(frozen=True)
class Heads:
    """The heads of a method: its settings, and each weight by our name and by the file's."""

    settings: dict[str, Any]
    names: dict[str, str]
    classes: int | None = None
    """Rows of the classifier; None without one."""
    for_filter: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings that depend on the input filter."""


class Importer:
    """Base class of every importer, built-in or third-party; the first line of the docstring names the source."""

    Config: ClassVar[type[ImporterConfig]] = ImporterConfig
    prefixes: ClassVar[Sequence[str]] = ("",)
    """Prefixes of the names of the backbone's weights; the first that occurs is used."""
    needs_filter: ClassVar[bool] = False
    """True if images may have been filtered, which the weights do not show."""
    is_published: ClassVar[bool] = False
    """True if a card, a configuration or timm itself names the input transform of the weights."""

    def heads(self, state: State) -> Heads | None:
        """Find the heads of the method that has the importer's name; None if there are none."""
        return None

    @property
    def about(self) -> str:
        """The first line of the docstring."""
        return (type(self).__doc__ or type(self).__name__).strip().partition("\n")[0].rstrip(".")
