"""List the classes that an embedding finds most similar."""

from pathlib import Path
from typing import Annotated

import typer

from coarsecon.errors import InputError


def nearest_classes(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    level: Annotated[str, typer.Option(help="Label level whose classes are compared.")] = "fine",
) -> None:
    """Print the class whose mean embedding is nearest to that of each class, with their cosine similarity."""
    import coarsecon

    opened = coarsecon.load(run)
    labels = opened.dataset.split(opened.default_split()).labels.get(level)
    if labels is None:
        raise InputError(
            level, f"{opened.dataset.root} has no such labels", f"it has {', '.join(opened.dataset.info.levels)}"
        )
    names, features = opened.dataset.info.levels[level], opened.features()
    present = labels[labels >= 0].unique().tolist()
    means = [features[labels == label].mean(0) for label in present]
    for label, mean in zip(present, means, strict=True):
        others = [
            (float(mean @ other / (mean.norm() * other.norm())), names[of])
            for of, other in zip(present, means, strict=True)
            if of != label
        ]
        if others:
            print(f"{names[label]}: {max(others)[1]} ({max(others)[0]:.3f})")
