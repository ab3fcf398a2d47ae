"""Sources written before they had a `Config`: `Source(name=..., read=function, options=("seed",), ...)`."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import Field, create_model

from coarsecon.data.sources import SourceConfig, SourceData, SourceRequest
from coarsecon.data.sources.label_options import LabelOptions


class _Options(LabelOptions):
    table: Path | None = Field(None, description="Table of images.")
    variant: str | None = Field(None, description="Variant of the dataset.")
    seed: int = Field(0, ge=0, description="Random seed.")


def from_fields(
    *, read: Callable[[Any], SourceData], options: tuple[str, ...] = (), variants: tuple[str, ...] = (), **fields: Any
) -> dict[str, Any]:
    """Return the attributes of a source whose options are fields of the request."""
    chosen: dict[str, Any] = {name: (_Options.model_fields[name].annotation, _Options.model_fields[name])
                              for name in options}  # fmt: skip
    if variants:
        chosen["variant"] = (Literal[variants], variants[0])
    unset = _Options().model_dump()

    def read_with(request: SourceRequest, config: SourceConfig) -> SourceData:
        return read(SimpleNamespace(**{**unset, **vars(request), **dict(config)}))

    return {**fields, "read": read_with, "Config": create_model("Config", __base__=SourceConfig, **chosen)}
