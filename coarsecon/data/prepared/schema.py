"""What the JSON files of a prepared dataset say, checked when written and when read."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coarsecon.errors import InputError

FORMAT_VERSION = 1
"""What `prepare` writes today; older versions stay readable."""

MAX_COUNT, MAX_SIZE = 2**40, 2**16
"""Images of a split, and pixels of their side, that a file may claim."""

Form = Literal["array", "files"]
LEVEL_NAME = r"^[A-Za-z0-9_-]+$"
Name = Annotated[str, Field(pattern=LEVEL_NAME)]
Channels = tuple[float, float, float]
Model = TypeVar("Model", bound=BaseModel)

CHANNELS = ("red", "green", "blue")
MIN_STD = 0.02
"""Least standard deviation to normalize by, some five gray levels: a constant channel would become infinite."""


class Record(BaseModel):
    """Base of what is stored: nothing unknown passes, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SplitInfo(Record):
    """One split: its number of images, the SHA-256 of its images and labels, and how many broken images it lacks."""

    count: int = Field(gt=0, le=MAX_COUNT)
    checksum: str
    broken: int = Field(0, ge=0, le=MAX_COUNT)


class DatasetInfo(Record):
    """`dataset.json`.

    `size` is the side in px the encoder is meant to see; `form` says whether the images are one array or
    files; `levels` names the classes of each label column; `mean` and `std` are those of the train split's
    pixels, per channel on a scale of 0 to 1.
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
        """The standard deviations that inputs are divided by: `std`, each at least `MIN_STD`."""
        red, green, blue = (max(std, MIN_STD) for std in self.std)
        return red, green, blue

    @property
    def channel_notes(self) -> list[str]:
        """A sentence that names the channels that are constant or nearly so over all training images, if any are."""
        flat = [channel for channel, std in zip(CHANNELS, self.std, strict=True) if std < MIN_STD]
        if not flat:
            return []
        channels = f"channel {flat[0]} is" if len(flat) == 1 else f"channels {' and '.join(flat)} are"
        return [
            f"The {channels} constant, or nearly so, over all training images; inputs are normalized by a standard "
            f"deviation of {MIN_STD} there."
        ]


class SplitFiles(Record):
    """`SPLIT.files.json`: what the images were called (None: nothing) and, in the form `files`, where they lie."""

    names: list[str] | None
    files: list[str] | None = None


class _Version(BaseModel):
    format_version: int = Field(strict=True, ge=1)


def read_info(file: Path) -> DatasetInfo:
    """Read `dataset.json`; raises InputError when it is broken or of a newer format version."""
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
