"""Draw maps of features that `coarsecon.evaluation.tsne` projected and that are stored among a run's results."""

from pathlib import Path
from typing import Any

from coarsecon.errors import InputError
from coarsecon.evaluation.tsne import image_identity
from coarsecon.report.feature_map import FeatureMap, feature_map
from coarsecon.run.facade import Run
from coarsecon.runtime.documents import read_json


def draw_map(run: Run, split: str, record: dict[str, Any], *, title: str | None = None) -> FeatureMap:
    """The map of a record of `map_split`, to be drawn by `report.map_page` and `report.map_picture`."""
    images = run.dataset.split(split)
    chosen = [image["index"] for image in record["images"]]
    labels = {level: column[chosen] for level, column in images.labels.items()}
    coarser_first = sorted(run.dataset.info.levels.items(), key=lambda level: len(level[1]))
    stars = record["class_weights"]
    return feature_map(
        [(image["x"], image["y"]) for image in record["images"]],
        lambda i: images.image(chosen[i]),
        {level: (labels[level], classes) for level, classes in coarser_first if (labels[level] >= 0).any()},
        title=title or f"{record['how']}, of {len(chosen):,} {split} images, {run.folder.root}",
        names=[images.names[index] for index in chosen],
        weights=([(star["x"], star["y"]) for star in stars], record["level"]) if stars else None,
    )


def saved_map(run: Run, file: Path) -> FeatureMap:
    """The map that `run.save_result` wrote to `file`, drawn from the run's dataset.

    Raises:
        InputError: the file is no such record, or not of this dataset.
    """
    try:
        record = read_json(file)
        for image in record["images"]:
            if not image.items() >= image_identity(run, record["split"], image["index"]).items():
                raise ValueError(f"{image['name']} is not of {run.dataset.root}")
        return draw_map(run, record["split"], record)
    except (OSError, InputError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(file, "no map of this dataset can be drawn from it", "run `coarsecon tsne` again") from error
