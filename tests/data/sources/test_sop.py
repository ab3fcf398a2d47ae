"""Stanford Online Products: the published images in their order, with fine labels that mean one product each."""

import json
from pathlib import Path

import pytest
from sources import read_source
from stand_ins.packing import zipped
from stand_ins.sop import write_sop

from coarsecon.data.formats.images import read_bytes
from coarsecon.data.sources import SourceData, sop
from coarsecon.errors import InputError

NAMES = ["sop-split1", "sop-split2"]


def read(name: str, source: Path | None, **more) -> SourceData:
    return read_source({"sop-split1": sop.SPLIT1, "sop-split2": sop.SPLIT2}[name], source, **more)


@pytest.mark.parametrize("name", NAMES)
def test_the_listed_images_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sop(tmp_path, monkeypatch, name)
    data = read(name, tmp_path)
    assert data.size == 224
    assert data.levels["coarse"][3] == "coffee maker"
    for split in data.splits.values():
        for path, image, coarse, fine in zip(split.names, split.images, *split.labels.values(), strict=True):
            assert image == tmp_path / "Stanford_Online_Products" / path
            kind, _, product = data.levels["fine"][fine].rpartition(" ")
            assert kind == data.levels["coarse"][coarse]
            assert path.startswith(f"{kind.replace(' ', '_')}_final/{product}_")
            assert not path.endswith("_99.JPG")


def test_split_1_has_other_products_to_train_than_to_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sop(tmp_path, monkeypatch, "sop-split1")
    data = read("sop-split1", tmp_path)
    train, test = (set(data.splits[split].labels["fine"].tolist()) for split in ("train", "test"))
    assert (train, test) == (set(range(12)), set(range(12, 24)))


def test_the_zip_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sop(tmp_path / "folder", monkeypatch, "sop-split2")
    folder = read("sop-split2", tmp_path / "folder")
    zipped(tmp_path / "folder" / "Stanford_Online_Products")
    packed = read("sop-split2", tmp_path / "folder")
    assert packed.levels == folder.levels
    for split, data in packed.splits.items():
        assert data.names == folder.splits[split].names
        assert data.labels["fine"].tolist() == folder.splits[split].labels["fine"].tolist()
        assert len({read_bytes(image) for image in data.images}) == 12


def test_missing_images_are_counted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sop(tmp_path, monkeypatch, "sop-split2")
    gone = sorted((tmp_path / "Stanford_Online_Products" / "lamp_final").glob("*_1*.JPG"))
    for path in gone:
        path.unlink()
    with pytest.raises(
        InputError, match=rf"{len(gone)} of 144 images are missing, such as lamp_final/.*; download .*zip"
    ):
        read("sop-split2", tmp_path)


def test_what_to_fetch_is_told(tmp_path: Path) -> None:
    for request in ({"source": None}, {"source": tmp_path}, {"source": None, "download": True}):
        with pytest.raises(InputError, match=r"download Stanford_Online_Products.zip .* manually from .*lifted_struct"):
            read("sop-split1", **request)


@pytest.mark.parametrize("source", [sop.SPLIT1, sop.SPLIT2], ids=lambda source: source.name)
def test_the_published_split(source, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = type("Everything", (dict,), {"__contains__": lambda *_: True, "__getitem__": lambda _, path: path})
    monkeypatch.setattr(sop, "find_originals", lambda *_: tmp_path)
    monkeypatch.setattr(sop, "list_files", lambda *_: everything())
    data = read_source(source, tmp_path)
    assert {level: len(names) for level, names in data.levels.items()} == source.levels
    products: dict[int, str] = {}
    for split, part in data.splits.items():
        assert part.labels["fine"].shape == (source.counts[split],)
        folder = shared / "labels" / source.name.replace("-", "_")
        path, coarse, fine = (
            json.loads((folder / f"{split}_{what}.json").read_text()) for what in ("path", "coarse_label", "fine_label")
        )
        assert part.names == path
        assert part.labels["coarse"].tolist() == coarse
        assert (part.labels["fine"] - part.labels["fine"].min()).tolist() == fine
        for number, name in zip(part.labels["fine"].tolist(), path, strict=True):
            product = name.rpartition("_")[0]
            assert products.setdefault(number, product) == product
    assert len(set(products.values())) == len(products)
