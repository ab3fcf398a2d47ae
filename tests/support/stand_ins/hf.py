"""A dataset of Hugging Face's library, as `save_to_disk` writes it."""

from pathlib import Path

import pytest

from stand_ins.images import encoded


def write_saved(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Images with a coarse and a fine column in the splits train and test."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", place.parent / "cache")
    features = datasets.Features(
        image=datasets.Image(), coarse=datasets.Value("string"), fine=datasets.ClassLabel(names=["a", "b", "c", "d"])
    )

    def split(start: int, count: int) -> object:
        numbers = range(start, start + count)
        columns = {
            "image": [{"bytes": encoded("PNG", seed=i), "path": f"{i}.png"} for i in numbers],
            "coarse": [f"coarse{i % 2}" for i in numbers],
            "fine": [i % 4 for i in numbers],
        }
        return datasets.Dataset.from_dict(columns, features=features)

    datasets.DatasetDict({"train": split(0, 32), "test": split(32, 16)}).save_to_disk(place)
    return ["--source", str(place), "--coarse", "coarse", "--fine", "fine", "--size", "32"]
