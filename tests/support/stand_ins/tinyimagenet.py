"""Tiny ImageNet, small: 200 classes, of which four have images, some of them grey."""

from pathlib import Path

import pytest

from coarsecon.data.sources import tinyimagenet
from stand_ins.images import encoded
from stand_ins.packing import zipped

WNIDS = [f"n{1000000 + 37 * i:08d}" for i in range(200)]
TRAIN, VALIDATION = 24, 8


def write_tinyimagenet(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes `tiny-imagenet-200`."""
    monkeypatch.setattr(tinyimagenet.SOURCE, "counts", {"train": TRAIN, "test": VALIDATION})
    folder = place / "tiny-imagenet-200"
    for wnid in WNIDS[:4]:
        (folder / "train" / wnid / "images").mkdir(parents=True)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t63\t63\n")
    for i in range(TRAIN):
        wnid = WNIDS[i % 4]
        content = encoded(size=(64, 64), seed=i, mode="L" if i % 5 == 0 else "RGB")
        (folder / "train" / wnid / "images" / f"{wnid}_{i // 4}.JPEG").write_bytes(content)
    annotations = []
    for split, count in (("val", VALIDATION), ("test", 2)):
        (folder / split / "images").mkdir(parents=True)
        for i in range(count):
            (folder / split / "images" / f"{split}_{i}.JPEG").write_bytes(encoded(size=(64, 64), seed=100 + i))
    annotations = [f"val_{i}.JPEG\t{WNIDS[3 - i % 4]}\t0\t32\t44\t62" for i in range(VALIDATION)]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(annotations) + "\n")
    (folder / "wnids.txt").write_text("\n".join(reversed(WNIDS)) + "\n")
    words = [f"{wnid}\tthing {i}, thing" for i, wnid in enumerate(["n00000001", *WNIDS])]
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    return ["--source", str(place)]


def write_tinyimagenet_zip(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same, packed."""
    write_tinyimagenet(place, monkeypatch)
    return ["--source", str(zipped(place / "tiny-imagenet-200"))]
