"""A dataset of the Hugging Face library `datasets`, from disk or from the hub."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from coarsecon.data.formats.columns import CLASSES, ColumnChoice
from coarsecon.data.formats.missing import LabelColumns
from coarsecon.data.formats.tables import clean
from coarsecon.data.prepared.fine_names import written_names
from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.coarse_map import check_mapped, read_coarse_map
from coarsecon.data.sources.hub import HubImages, cache_folder, library, open_hub_dataset, reading
from coarsecon.data.sources.label_options import LabelOptions
from coarsecon.data.sources.listing import split_name
from coarsecon.errors import InputError


class HubConfig(LabelOptions):
    """Options of the source `hf`."""

    variant: str | None = Field(None, description="Configuration of a dataset of the hub.")


class HuggingFace(Source):
    """Read datasets of the Hugging Face library `datasets`."""

    Config = HubConfig

    name = "hf"
    about = """\
A dataset of the Hugging Face library datasets (pip install 'coarsecon[hf]'): a folder written by save_to_disk, a
folder of Parquet files, or the name of a dataset of the hub, which is downloaded. Usual column names are recognized
(label, category, fine_label, ...). Missing labels (NaN, null, NA, ...) stay unknown."""
    counts = {}
    default_size = 224
    url = "https://huggingface.co/datasets"
    terms = "See the page of the dataset."
    disk = "about 40 KB per prepared image at 224 px, 12 KB at 64 px"

    def read(self, request: SourceRequest, config: HubConfig) -> SourceData:
        """Return the dataset at `request.source`, with levels from the columns that the options name."""
        if request.source is None:
            hint = "name a folder of save_to_disk or of Parquet files, or a dataset of the hub"
            raise InputError("source", "missing", hint)
        found = open_hub_dataset(request.source, config=config.variant, download=request.download)
        splits = {split_name(name): split for name, split in found.items()}
        if "train" not in splits:
            raise InputError(request.source, f"no split train, only {', '.join(found)}")
        columns, image, group, notes = _columns(request.source, config, splits["train"])
        labels = LabelColumns(keep_na=config.keep_na)
        columns_of = {level: _joined(request.source, splits, column, labels) for level, column in columns.items()}
        for note in [*notes, *labels.notes()]:
            request.reporter.info(note)
        if config.coarse_map:
            columns_of = {"coarse": _mapped(columns_of["fine"], config.coarse_map, config.keep_na), **columns_of}
        elif "fine" in columns_of and not isinstance(splits["train"].features[columns["fine"]], library().ClassLabel):
            columns_of["fine"] = _within(columns_of["coarse"], columns_of["fine"])
        for level in ("coarse", "fine"):
            if level in columns_of and not columns_of[level][0]:
                raise InputError(request.source, f"the column {columns[level]} has no labels: all are missing")
        roots = [request.source, cache_folder()] if request.download else [request.source]
        return SourceData(
            name=request.source.name,
            size=request.size or self.default_size,
            levels={level: names for level, (names, _) in columns_of.items()},
            splits={
                name: SplitData(
                    {level: labels[name] for level, (_, labels) in columns_of.items()},
                    HubImages(split, image, roots),
                    list(map(str, split["name"])) if "name" in split.column_names else None,
                    _groups(split, group),
                )
                for name, split in sorted(splits.items(), key=lambda item: item[0] != "train")
            },
        )


SOURCE = HuggingFace()


Labeled = tuple[list[str], dict[str, np.ndarray]]
"""Class names of a level, and its column int64 [N] in each split."""


def _columns(source: Path, config: HubConfig, split: Any) -> tuple[dict[str, str], str, str | None, list[str]]:
    """Return the column of each level, of the images and of the groups, and notes on the choice."""
    hub = library()
    if config.coarse_map and config.coarse:
        raise InputError(
            "coarse", "conflicts with coarse_map, which derives coarse from fine labels", "omit one of them"
        )
    images = [str(name) for name, feature in split.features.items() if isinstance(feature, hub.Image)]
    if not images:
        raise InputError(source, "no column of images", f"there are {', '.join(split.column_names)}")
    choice = ColumnChoice(source, split.column_names, (config.coarse, config.fine, config.group, *config.label_columns))
    image = choice.choose("path", config.path) if config.path else images[0]
    if image not in images:
        raise InputError(source, f"the column {image} has no images", f"these have {', '.join(images)}")
    notes = []
    if len(images) > 1 and not config.path:
        notes.append(f"images from {image!r}, the first of {', '.join(images)}; choose another with path")
    columns: dict[str, str | None] = {}
    if config.coarse_map:
        columns["fine"] = choice.require("fine", choice.choose("fine", config.fine, more=CLASSES))
    else:
        columns["coarse"] = choice.require("coarse", choice.choose("coarse", config.coarse))
        columns["fine"] = choice.choose("fine", config.fine)
    columns |= {name: choice.choose(name, name) for name in config.label_columns}
    group = choice.choose("group", config.group) if config.group else None
    return {level: column for level, column in columns.items() if column}, image, group, [*notes, *choice.notes()]


def _groups(split: Any, column: str | None) -> list[str] | None:
    """Return a column as text, "" where it is missing."""
    if column is None:
        return None
    return ["" if _plain(value) is None else str(value) for value in split[column]]


def _joined(source: Path, splits: dict[str, Any], column: str, labels: LabelColumns) -> Labeled:
    """Return a column of class labels, text or integers as one level over all splits; a missing value is unknown."""
    hub = library()
    feature = splits["train"].features[column]
    for name, split in splits.items():
        if split.features.get(column) != feature:
            raise InputError(source, f"the column {column} of {name} is {split.features.get(column)}, not {feature}")
    with reading(f"{source}: the column {column}"):
        values: dict[str, list[Any]] = {name: list(map(_plain, split[column])) for name, split in splits.items()}
    if isinstance(feature, hub.ClassLabel):
        texts: dict[Any, str] = {number: clean(name) for number, name in enumerate(feature.names)}
    else:
        kinds = {type(value) for column_values in values.values() for value in column_values} - {type(None)}
        if len(kinds) != 1 or not kinds <= {str, int, bool}:
            kinds_found = " and ".join(sorted(kind.__name__ for kind in kinds)) or "empty"
            raise InputError(
                source, f"the column {column} has {kinds_found} values instead of class labels, text or integers"
            )
        found = {value for column_values in values.values() for value in column_values} - {None}
        texts = {value: clean(value) for value in sorted(found)}
    classes = list(dict.fromkeys(label for text in texts.values() if (label := labels.label(text))))
    number = {label: i for i, label in enumerate(classes)}
    return classes, {
        name: np.array([number.get(labels.read(column, texts.get(value, "")), -1) for value in column_values], np.int64)
        for name, column_values in values.items()
    }


def _plain(value: Any) -> Any:
    """Return a value of a column; None for NaN, an integer for a float such as 3.0, which pandas makes next to NaN."""
    if not isinstance(value, float) or not (value != value or value.is_integer()):
        return value
    return None if value != value else int(value)


def _mapped(fine: Labeled, table: Path, keep_na: bool) -> Labeled:
    """Derive coarse labels from fine ones."""
    names, labels = fine
    coarse_of = read_coarse_map(table, keep_na=keep_na)
    check_mapped(set(names), coarse_of, table)
    classes = sorted({coarse_of[name] for name in names})
    numbers = np.array([*(classes.index(coarse_of[name]) for name in names), -1])
    return classes, {split: numbers[column] for split, column in labels.items()}


def _within(coarse: Labeled, fine: Labeled) -> Labeled:
    """Split the fine classes of a text column by coarse class: one name in two coarse classes is two classes.

    A fine label without a coarse one belongs to the only coarse class with this name, otherwise it is unknown.
    """
    pairs = {split: list(zip(coarse[1][split].tolist(), column.tolist(), strict=True))
             for split, column in fine[1].items()}  # fmt: skip
    known = sorted({(c, f) for column in pairs.values() for c, f in column if c >= 0 and f >= 0})
    homes = {f: [pair for pair in known if pair[1] == f] for f in range(len(fine[0]))}
    classes = known + [(-1, f) for f, found in homes.items() if not found]
    number = {pair: i for i, pair in enumerate(classes)}
    number |= {(-1, f): number[found[0]] for f, found in homes.items() if len(found) == 1}
    names = written_names([(coarse[0][c] if c >= 0 else "", fine[0][f]) for c, f in classes])
    return names, {
        split: np.array([number.get(pair, -1) for pair in column], np.int64) for split, column in pairs.items()
    }
