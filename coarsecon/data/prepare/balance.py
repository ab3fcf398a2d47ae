"""Measure class imbalance, and find classes with too few images or fine classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MIN_NOTED_IMBALANCE = 10.0
"""Ratio of the largest to the smallest class from which it is reported."""


@dataclass(frozen=True)
class LevelBalance:
    """One label level of the training split.

    Attributes:
        classes: Number of classes.
        smallest: Number of images in the smallest class that has any.
        median: Median number of images of the classes that have any.
        largest: Number of images in the largest class.
        single: Classes with one image.
        empty: Classes without images.
        unknown: Number of unlabeled images.
    """

    classes: int
    smallest: int
    median: float
    largest: int
    single: list[str]
    empty: list[str]
    unknown: int

    @property
    def ratio(self) -> float:
        """Class imbalance: the size of the largest over that of the smallest class."""
        return self.largest / max(self.smallest, 1)


@dataclass(frozen=True)
class Balance:
    """The balance of each level; `lone` lists the coarse classes with a single fine class."""

    levels: dict[str, LevelBalance]
    lone: list[str]

    def notes(self) -> list[str]:
        """Return what users should know, in sentences."""
        found = []
        for level, balance in self.levels.items():
            if balance.ratio >= MIN_NOTED_IMBALANCE:
                found.append(
                    f"The {level} classes are imbalanced: {balance.smallest:,} to {balance.largest:,} training images."
                )
            if balance.single:
                found.append(f"{some_names(balance.single, f'{level} class', 'es')} with a single training image.")
            if balance.empty:
                found.append(f"{some_names(balance.empty, f'{level} class', 'es')} without training images.")
        if self.lone:
            found.append(f"{some_names(self.lone, 'coarse class', 'es')} with a single fine class.")
        return found


def balance(labels: Mapping[str, np.ndarray], levels: Mapping[str, Sequence[str]]) -> Balance:
    """Measure int64 columns [N] (-1: unknown) with the class names of each level."""
    found = {level: _level(labels[level], names) for level, names in levels.items() if level in labels}
    lone = _lone(labels["coarse"], labels["fine"], levels["coarse"]) if {"coarse", "fine"} <= found.keys() else []
    return Balance(found, lone)


def counts_by_split(splits: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the images of each class in int64 columns [N] of several splits: `{"daisy": {"train": 8, "test": 2}}`."""
    sizes = {split: np.bincount(column[column >= 0], minlength=len(names)) for split, column in splits.items()}
    return {name: {split: int(sizes[split][number]) for split in splits} for number, name in enumerate(names)}


def _level(column: np.ndarray, names: Sequence[str]) -> LevelBalance:
    sizes = np.bincount(column[column >= 0], minlength=len(names))[: len(names)]
    filled = sizes[sizes > 0] if sizes.any() else np.zeros(1, np.int64)
    return LevelBalance(
        classes=len(names),
        smallest=int(filled.min()),
        median=float(np.median(filled)),
        largest=int(filled.max()),
        single=[names[i] for i in np.flatnonzero(sizes == 1).tolist()],
        empty=[names[i] for i in np.flatnonzero(sizes == 0).tolist()],
        unknown=int((column < 0).sum()),
    )


def _lone(coarse: np.ndarray, fine: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return the coarse classes whose labeled images all have one fine class."""
    pairs = {(int(c), int(f)) for c, f in zip(coarse, fine, strict=True) if c >= 0 and f >= 0}
    members = np.bincount([c for c, _ in pairs], minlength=len(names))[: len(names)] if pairs else np.zeros(len(names))
    return [names[i] for i in np.flatnonzero(members == 1).tolist()]


def some_names(names: list[str], one: str, plural: str) -> str:
    """Return the number of names and the first of them: "2 classes (a, b)"."""
    first = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} {one}{plural if len(names) > 1 else ''} ({first})"
