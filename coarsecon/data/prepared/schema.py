"""Schemas of the JSON files of a prepared dataset, validated when written and when read."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coarsecon.errors import InputError

FORMAT_VERSION = 1
"""Version that `prepare` writes; older versions stay readable."""

MAX_COUNT, MAX_SIZE = 2**40, 2**16
"""Bounds on the number of images of a split and on the image size in pixels."""

Form = Literal["array", "files"]
LEVEL_NAME = r"^[A-Za-z0-9_-]+$"
Name = Annotated[str, Field(pattern=LEVEL_NAME)]
Channels = tuple[float, float, float]
Model = TypeVar("Model", bound=BaseModel)

CHANNELS = ("red", "green", "blue")
MIN_STD = 0.02
"""Minimum standard deviation for normalization, about five gray levels, against division by zero."""


class Record(BaseModel):
    """Base of all records: strict, without unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SplitInfo(Record):
    """One split: its number of images, the SHA-256 of its images and labels, and the number of broken images."""

    count: int = Field(gt=0, le=MAX_COUNT)
    checksum: str
    broken: int = Field(0, ge=0, le=MAX_COUNT)


class DatasetInfo(Record):
    """`dataset.json`.

    Attributes:
        size: Image size in pixels that the encoder will see.
        form: Whether the images are one array or files.
        levels: Class names of each label column.
        mean: Mean of the pixels of the train split per channel, on a scale of 0 to 1.
        std: Their standard deviation.
    """

    format_version: int = Field(FORMAT_VERSION, ge=1)
    name: str
    size: int = Field(gt=0, le=MAX_SIZE)
    form: Form
    splits: dict[Name, SplitInfo] = Field(min_length=1)
    levels: dict[Name, list[str]] = Field(min_length=1)
    mean: Channels
    std: Channels
    notes: str = ""

    @property
    def normalizing_std(self) -> Channels:
        """Standard deviations for normalization: `std`, each at least `MIN_STD`."""
        red, green, blue = (max(std, MIN_STD) for std in self.std)
        return red, green, blue

    @property
    def channel_notes(self) -> list[str]:
        """A sentence that names the channels that are constant or nearly so over all training images, if any."""
        flat = [channel for channel, std in zip(CHANNELS, self.std, strict=True) if std < MIN_STD]
        if not flat:
            return []
        channels = f"channel {flat[0]} is" if len(flat) == 1 else f"channels {' and '.join(flat)} are"
        return [
            f"The {channels} constant, or nearly so, over all training images; inputs are normalized by a standard "
            f"deviation of {MIN_STD} there."
        ]


class SplitFiles(Record):
    """`SPLIT.files.json`: the original names of the images, if known, and in the form `files` their paths."""

    names: list[str] | None
    files: list[str] | None = None


class SplitGroups(Record):
    """`SPLIT.groups.json`: what each image shows, "" if unknown; images with the same value belong together."""

    groups: list[str]


class _Version(BaseModel):
    format_version: int = Field(strict=True, ge=1)


def read_info(file: Path) -> DatasetInfo:
    """Read `dataset.json`; raises InputError if it is broken or of a newer format version."""
    version = read_record(file, _Version).format_version
    if version > FORMAT_VERSION:
        raise InputError(
            file,
            f"format version {version}, but this coarsecon reads versions up to {FORMAT_VERSION}",
            "update it (pip install -U coarsecon), or prepare the dataset again",
        )
    return read_record(file, DatasetInfo)


def read_record(file: Path, model: type[Model]) -> Model:
    """Read a JSON file as `model`; raises InputError that names the first thing wrong with it."""
    try:
        return model.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "prepare the dataset again") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "content"
        raise InputError(file, f"{place}: {first['msg']}", "prepare the dataset again") from error


def write_record(file: Path, record: Record) -> None:
    """Write a JSON file."""
    file.write_text(record.model_dump_json(indent=2), encoding="utf-8")
