"""Operations on a review, as lines of its journal: validated when they are made and when they are read."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from coarsecon.data.formats.missing import is_missing
from coarsecon.data.formats.tables import clean
from coarsecon.errors import InputError

FORMAT_VERSION = 1
"""Version of journals; older versions stay readable."""

MAX_NAME_LENGTH = 100
MAX_PARTS = 20
"""Most parts of a cluster in one split."""

MAX_IMAGES = 2**31


def clean_name(text: str) -> str:
    """Return a name as a table of labels keeps it: in Unicode form NFC, on one line, of printable characters.

    Raises:
        ValueError: Nothing is left, it means a missing label in tables, or it is too long.
    """
    spaced = "".join(letter if letter.isprintable() else " " for letter in unicodedata.normalize("NFC", text))
    name = clean(" ".join(spaced.split()))
    if not name:
        raise ValueError("a name needs at least one visible character")
    if is_missing(name):
        raise ValueError(f"{name} means a missing label in tables; choose another name")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"a name has at most {MAX_NAME_LENGTH} characters")
    return name


Name = Annotated[str, AfterValidator(clean_name)]
Number = Annotated[int, Field(ge=0, lt=MAX_IMAGES)]
Numbers = Annotated[list[Number], Field(min_length=1)]


class Record(BaseModel):
    """Base of everything in a journal: strict, without unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Operation(Record):
    """Change to a review.

    Attributes:
        version: The version of the review that it was made against, which is the number of changes before it.
        who: Name of the reviewer.
        time: UTC time in ISO format.
    """

    version: int = Field(ge=0)
    who: str = Field(max_length=200)
    time: str = Field(max_length=40)


class NameCluster(Operation):
    """Give a cluster a name; clusters of one coarse class with the same name are one sub-class."""

    op: Literal["name"]
    cluster: Number
    name: Name


class RejectCluster(Operation):
    """Mark a cluster as no sub-class: its images get no label."""

    op: Literal["reject"]
    cluster: Number


class ReopenCluster(Operation):
    """Remove the name or the rejection of a cluster."""

    op: Literal["reopen"]
    cluster: Number


class MergeClusters(Operation):
    """Move all images of `others` to `cluster`, which takes the name of the first named one if it has none."""

    op: Literal["merge"]
    cluster: Number
    others: Numbers


class SplitCluster(Operation):
    """Divide a cluster: the first part stays, each further one becomes a new cluster without a name.

    The parts are the result of clustering, so that a replay needs no features. Excluded images stay.
    """

    op: Literal["split"]
    cluster: Number
    parts: list[Numbers] = Field(min_length=2, max_length=MAX_PARTS)


class MoveImages(Operation):
    """Move images to `cluster`, or to a new one if it is None; a person has then checked them."""

    op: Literal["move"]
    images: Numbers
    cluster: Number | None


class ExcludeImages(Operation):
    """Exclude images, which then get no label and count nowhere, until they are restored."""

    op: Literal["exclude"]
    images: Numbers


class RestoreImages(Operation):
    """Restore excluded images to their clusters."""

    op: Literal["restore"]
    images: Numbers


class Undo(Operation):
    """Undo the last change that is not undone."""

    op: Literal["undo"]


class Redo(Operation):
    """Repeat the last change that was undone."""

    op: Literal["redo"]


AnyOperation = Annotated[
    NameCluster | RejectCluster | ReopenCluster | MergeClusters | SplitCluster | MoveImages | ExcludeImages
    | RestoreImages | Undo | Redo,
    Field(discriminator="op"),
]  # fmt: skip
OPERATION: TypeAdapter[AnyOperation] = TypeAdapter(AnyOperation)


class ProposedCluster(Record):
    """Cluster of the proposal: its coarse class, its proposed label, and its images, the most typical first."""

    coarse: str
    label: str
    images: Numbers


class Proposal(Record):
    """First line of a journal: the images under review and their clusters.

    Attributes:
        split: The split that the images are from.
        images: Names of the images in the dataset; all other numbers are positions in this list.
        clusters: The proposed clusters, each image in exactly one.
        source: Name of the table that they were read from.
    """

    format_version: int = Field(ge=1)
    split: str
    source: str
    who: str
    time: str
    images: list[str] = Field(min_length=1)
    clusters: list[ProposedCluster] = Field(min_length=1)


def parse_operation(value: Any, origin: str) -> AnyOperation:
    """Validate a change; `origin` is the subject of errors. Raises InputError."""
    try:
        return OPERATION.validate_python(value)
    except ValidationError as error:
        raise InputError(origin, first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a record in one line."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:60]
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}"[:200] if place else message[:200]
