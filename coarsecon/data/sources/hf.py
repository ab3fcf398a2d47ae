"""A dataset in the form of Hugging Face's library `datasets`, from disk or from the hub, with two columns of labels."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from coarsecon.data.hub import HubImages, cache_folder, library, open_hub_dataset
from coarsecon.data.names import canonical
from coarsecon.data.schema import LEVEL_NAME
from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData
from coarsecon.data.tables import check_mapped, read_coarse_map
from coarsecon.errors import InputError

SPLITS = {"validation": "val", "valid": "val", "dev": "val"}
"""What splits are called elsewhere."""


def read(request: SourceRequest) -> SourceData:
    """The dataset at `request.source`, its levels from the columns that the request names."""
    if request.source is None:
        raise InputError("give a folder of save_to_disk or of Parquet files, or a name of the hub, with --source")
    found = open_hub_dataset(request.source, config=request.variant, download=request.download)
    splits = {SPLITS.get(name, name): split for name, split in found.items()}
    if "train" not in splits:
        raise InputError(f"{request.source}: no split train, only {', '.join(found)}")
    columns = _columns(request, splits["train"])
    image = _image_column(request.source, splits["train"])
    columns_of = {level: _joined(request.source, splits, column) for level, column in columns.items()}
    if request.coarse_map:
        columns_of = {"coarse": _mapped(columns_of["fine"], request.coarse_map), **columns_of}
    roots = [request.source, cache_folder()] if request.download else [request.source]
    return SourceData(
        name=request.source.name,
        size=request.size or SOURCE.default_size,
        levels={level: names for level, (names, _) in columns_of.items()},
        splits={
            name: SplitData(
                {level: labels[name] for level, (_, labels) in columns_of.items()},
                HubImages(split, image, roots),
                list(map(str, split["name"])) if "name" in split.column_names else None,
            )
            for name, split in sorted(splits.items(), key=lambda item: item[0] != "train")
        },
    )


Labelled = tuple[list[str], dict[str, np.ndarray]]
"""The names of a level's classes, and its column int64 [N] in each split."""


def _columns(request: SourceRequest, split: Any) -> dict[str, str]:
    """The column of each level."""
    columns = {"coarse": request.coarse, "fine": request.fine, **{name: name for name in request.label_columns}}
    chosen = {level: column for level, column in columns.items() if column}
    if request.coarse_map:
        if not request.fine or request.coarse:
            raise InputError("--coarse-map makes the coarse labels from the column of --fine; leave out --coarse")
    elif not request.coarse:
        raise InputError(f"name the column of coarse labels with --coarse; there are {', '.join(split.column_names)}")
    for level, column in chosen.items():
        if column not in split.column_names:
            raise InputError(f"there is no column {column}; there are {', '.join(split.column_names)}")
        if not re.fullmatch(LEVEL_NAME, level):
            raise InputError(f"--label-columns: {level!r} is no name for a level; use letters, digits, - and _")
    return chosen


def _image_column(source: Path, split: Any) -> str:
    hub = library()
    found = [str(name) for name, feature in split.features.items() if isinstance(feature, hub.Image)]
    if not found:
        raise InputError(f"{source}: no column of images; there are {', '.join(split.column_names)}")
    return found[0]


def _joined(source: Path, splits: dict[str, Any], column: str) -> Labelled:
    """A column of class labels, text or whole numbers as one level over all splits; an empty cell is unknown."""
    hub = library()
    feature = splits["train"].features[column]
    for name, split in splits.items():
        if split.features.get(column) != feature:
            raise InputError(f"{source}: the column {column} of {name} is {split.features.get(column)}, not {feature}")
    values = {name: [_canonical(value) for value in split[column]] for name, split in splits.items()}
    if isinstance(feature, hub.ClassLabel):
        spelled = [canonical(str(name)) for name in feature.names]
        names = list(dict.fromkeys(spelled))
        numbers = np.array([*(names.index(name) for name in spelled), -1], np.int64)
        return names, {
            name: numbers[[-1 if value is None else value for value in found]] for name, found in values.items()
        }
    kinds = {type(value) for found in values.values() for value in found} - {type(None)}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        told = " and ".join(sorted(kind.__name__ for kind in kinds)) or "empty"
        raise InputError(f"{source}: the column {column} holds no class labels, text or whole numbers, but {told}")
    classes = sorted({value for found in values.values() for value in found} - {None, ""})
    number = {value: i for i, value in enumerate(classes)}
    labels = {name: np.array([number.get(value, -1) for value in found], np.int64) for name, found in values.items()}
    return list(map(str, classes)), labels


def _canonical(value: Any) -> Any:
    return canonical(value) if isinstance(value, str) else value


def _mapped(fine: Labelled, table: Path) -> Labelled:
    """Coarse labels from fine ones."""
    names, labels = fine
    coarse_of = read_coarse_map(table)
    check_mapped(set(names), coarse_of, table)
    classes = sorted({coarse_of[name] for name in names})
    numbers = np.array([*(classes.index(coarse_of[name]) for name in names), -1])
    return classes, {split: numbers[column] for split, column in labels.items()}


SOURCE = Source(
    name="hf",
    about="""\
A dataset of Hugging Face's library datasets (pip install 'coarsecon[hf]'): a folder that save_to_disk wrote, a
folder of Parquet files, or with --download a name of the hub (--variant is its configuration). --coarse and --fine
name the columns of labels, --label-columns further levels; --coarse-map makes coarse labels from fine ones.""",
    counts={},
    default_size=224,
    read=read,
    url="https://huggingface.co/datasets",
    terms="Those of the dataset: see its page.",
    disk="prepared about 40 KB an image of 224 px, 12 KB of 64 px",
    options=("variant", "label_columns", "coarse_map", "coarse", "fine"),
)
