"""Images with their embeddings, labels and proposed labels as datasets of other tools."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from coarsecon.data.formats.missing import LabelColumns
from coarsecon.data.formats.tables import read_rows
from coarsecon.data.prepared.store import Split
from coarsecon.data.sources.hub import library
from coarsecon.errors import InputError
from coarsecon.pictures.images import png
from coarsecon.run.facade import Run
from coarsecon.runtime.extras import require_extra


def to_datasets(run: Run, split: str | None = None, *, proposals: Path | str | None = None) -> Any:
    """Convert a split to a `datasets.Dataset` of Hugging Face.

    Its columns are `image`, one of class names per level (None: unknown), `name`, `embedding` (float32 of length one)
    and, with `proposals` (the table of `coarsecon cluster`), `proposed`. Image files are referenced, not copied.

    Raises:
        InputError: The extra `hf` is missing, there is no such split, or the table cannot be read.
    """
    hub = library()
    name = split or run.default_split()
    images, embeddings = run.dataset.split(name), run.features(name).numpy()
    columns: dict[str, Any] = {
        "image": _image_cells(images),
        **class_names(run, images),
        "name": images.names,
    }
    features: dict[str, Any] = {level: hub.Value("string") for level in columns}
    features |= {"image": hub.Image(), "embedding": hub.List(hub.Value("float32"), length=embeddings.shape[1])}
    columns["embedding"] = list(embeddings)
    if proposals is not None:
        features["proposed"] = hub.Value("string")
        columns["proposed"] = proposed_labels(images, Path(proposals))
    return hub.Dataset.from_dict(columns, features=hub.Features(features))


def to_fiftyone(
    run: Run,
    split: str | None = None,
    *,
    media: Path | str | None = None,
    proposals: Path | str | None = None,
    name: str | None = None,
) -> Any:
    """Convert a split to a `fiftyone.Dataset` with the field `embedding` and a `Classification` per level.

    Args:
        media: Folder to write images to as PNG, required if the dataset stores them in an array; files are referenced.

    Raises:
        InputError: FiftyOne is not installed, `media` is needed, or as `to_datasets`.
    """
    fiftyone = require_extra("fiftyone", "fiftyone", needed_by="to_fiftyone")
    split = split or run.default_split()
    images, embeddings = run.dataset.split(split), run.features(split).numpy()
    labels = class_names(run, images)
    if proposals is not None:
        labels["proposed"] = proposed_labels(images, Path(proposals))
    samples = []
    for i, (file, embedding) in enumerate(zip(_files(images, media), embeddings, strict=True)):
        sample = fiftyone.Sample(filepath=str(file.resolve()), tags=[split])
        sample["name"], sample["embedding"] = images.names[i], embedding
        for level, names in labels.items():
            if names[i] is not None:
                sample[level] = fiftyone.Classification(label=names[i])
        samples.append(sample)
    dataset = fiftyone.Dataset(name)
    dataset.add_samples(samples)
    return dataset


def _image_cells(images: Split) -> list[dict[str, Any]]:
    if images.files is not None:
        return [{"bytes": None, "path": str(file.resolve())} for file in images.files]
    return [{"bytes": png(Image.fromarray(images.image(i))), "path": None} for i in range(len(images))]


def class_names(run: Run, images: Split) -> dict[str, list[str | None]]:
    """Return the class of every image by level, None where unknown."""
    levels: Mapping[str, list[str]] = run.dataset.info.levels
    return {
        level: [levels[level][label] if label >= 0 else None for label in column.tolist()]
        for level, column in images.labels.items()
    }


def proposed_labels(images: Split, table: Path) -> list[str | None]:
    """Return the label that the table of `coarsecon cluster` proposes for each image, None where it proposes none."""
    labels = LabelColumns()
    proposed = {row["path"]: labels.label(row["proposed"]) for _, row in read_rows(table, {"path", "proposed"})}
    found = [proposed.get(name) or None for name in images.names]
    if not any(found):
        raise InputError(
            table, f"contains no image of the split {images.name}", "cluster that split, or choose another"
        )
    return found


def _files(images: Split, media: Path | str | None) -> list[Path]:
    if images.files is not None:
        return images.files
    if media is None:
        raise InputError(
            "media",
            "is required, because the images are not files, which FiftyOne needs",
            "pass a folder to write them to",
        )
    folder = Path(media)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{images.name}-{i:06d}.png" for i in range(len(images))]
    for i, file in enumerate(files):
        Image.fromarray(images.image(i)).save(file)
    return files
