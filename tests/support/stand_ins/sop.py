"""Stanford Online Products, small: the images of a few of the listed products, among others that no split lists."""

from pathlib import Path

import pytest

from coarsecon.data.sources import sop
from coarsecon.data.sources.labels import read_table
from stand_ins.images import encoded
from stand_ins.packing import zipped

SOURCES = {"sop-split1": "SPLIT1", "sop-split2": "SPLIT2"}


def write_sop(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Writes `Stanford_Online_Products` with one listed product of each kind in each split, and takes these as all."""
    rows = listed(name)
    numbers = {old: new for new, old in enumerate(dict.fromkeys(row["fine"] for row in rows))}
    rows = [{**row, "fine": str(numbers[row["fine"]])} for row in rows]
    monkeypatch.setattr(sop, "read_table", lambda _: rows)
    source = getattr(sop, SOURCES[name])
    monkeypatch.setattr(source, "levels", {"coarse": 12, "fine": len(numbers)})

    folder = place / "Stanford_Online_Products"
    header = "image_id class_id super_class_id path"
    infos = {part: [header] for part in ("info", "train", "test")}
    for kind in dict.fromkeys(row["coarse_name"] for row in rows):
        (folder / f"{kind.replace(' ', '_')}_final").mkdir(parents=True)
    for number, row in enumerate(rows):
        kind = row["coarse_name"].replace(" ", "_")
        photo = encoded(seed=number)
        for image in [*row["images"].split(), "99"]:  # the last is in no split
            path = f"{kind}_final/{row['fine_name']}_{image}.JPG"
            (folder / path).write_bytes(photo)
            line = f"{len(infos['info'])} {number + 1} {int(row['coarse']) + 1} {path}"
            infos["info"].append(line)
            infos[row["split"]].append(line)
    for part, lines in infos.items():
        (folder / f"Ebay_{part}.txt").write_text("\n".join(lines) + "\n")
    return ["--source", str(place)]


def listed(name: str) -> list[dict[str, str]]:
    """The table's rows of the first product of each kind in each split."""
    firsts: dict[tuple[str, str], dict[str, str]] = {}
    for row in read_table(name):
        firsts.setdefault((row["split"], row["coarse"]), row)
    return list(firsts.values())


def write_split1(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Split 1, in a folder."""
    return write_sop(place, monkeypatch, "sop-split1")


def write_split2_zip(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Split 2, packed."""
    write_sop(place, monkeypatch, "sop-split2")
    return ["--source", str(zipped(place / "Stanford_Online_Products"))]
