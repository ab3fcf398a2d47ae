"""Datasets of Hugging Face's library come in, and prepared ones go out, with nothing lost on the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources import read_source

from coarsecon.data.prepare.dataset import prepare_dataset, write_dataset
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import SourceData
from coarsecon.data.sources.hf import SOURCE
from coarsecon.data.sources.hub import export
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache" / "datasets")


@pytest.fixture
def shop(tmp_path: Path, save_image: Callable[..., Path]) -> Any:
    """Six training and two validation photos with a text, a class and a number column; one fine label is unknown."""

    def split(name: str, count: int) -> Any:
        files = [save_image(tmp_path / "photos" / name / f"{i}.jpg", (90, 80), i) for i in range(count)]
        columns = {
            "photo": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
            "department": ["shoes" if i % 2 else "bags" for i in range(count)],
            "product": [-1 if i == 4 else i % 3 for i in range(count)],
            "year": [2020 + i % 2 for i in range(count)],
            "weight": [0.5] * count,
        }
        features = datasets.Features(
            {"photo": datasets.Image(), "department": datasets.Value("string"),
             "product": datasets.ClassLabel(names=["boot", "clog", "tote"]), "year": datasets.Value("int64"),
             "weight": datasets.Value("float32")}
        )  # fmt: skip
        return datasets.Dataset.from_dict(columns, features=features)

    return datasets.DatasetDict({"train": split("train", 6), "validation": split("validation", 2)})


def chosen(**options: Any) -> dict[str, Any]:
    return {"coarse": "department", "fine": "product", "size": 80} | options


def test_a_column_of_groups_is_stored_as_text(tmp_path: Path, shop: Any) -> None:
    shop.save_to_disk(tmp_path / "shop")
    dataset = prepare_dataset(SOURCE, tmp_path / "out", source=tmp_path / "shop", **chosen(group="year"))
    assert dataset.split("train").groups == ["2020", "2021"] * 3
    assert dataset.info.levels.keys() == {"coarse", "fine"}


@pytest.mark.parametrize("form", ["saved", "parquet"])
def test_two_columns_of_labels_become_levels(tmp_path: Path, shop: Any, form: str) -> None:
    place = tmp_path / "shop"
    if form == "saved":
        shop.save_to_disk(place)
    else:
        for name, split in shop.items():
            split.to_parquet(place / f"{name}-00000-of-00001.parquet")
    dataset = prepare_dataset(SOURCE, tmp_path / "out", source=place, **chosen(label_columns=("year",)))
    assert dataset.info.levels == {
        "coarse": ["bags", "shoes"], "fine": ["boot", "clog", "tote"], "year": ["2020", "2021"],
    }  # fmt: skip
    train = dataset.split("train")
    assert train.labels["coarse"].tolist() == [0, 1] * 3
    assert train.labels["fine"].tolist() == [0, 1, 2, 0, -1, 2]
    assert train.labels["year"].tolist() == [0, 1] * 3
    assert len(dataset.split("val")) == 2
    assert train.files is not None
    assert train.files[3].read_bytes() == (tmp_path / "photos" / "train" / "3.jpg").read_bytes()


def test_one_text_in_two_coarse_classes_is_two_fine_classes(tmp_path: Path, save_image: Callable[..., Path]) -> None:
    photo = save_image(tmp_path / "photo.jpg", (90, 80), 0).read_bytes()
    coarse = ["x", "z", "x", "w", "w", None, None]
    fine = ["y", "y", "v", "x/y", None, "v", "y"]
    columns = {"photo": [{"bytes": photo, "path": None}] * 7, "department": coarse, "product": fine}
    features = {"photo": datasets.Image(), "department": datasets.Value("string"), "product": datasets.Value("string")}
    split = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    datasets.DatasetDict({"train": split}).save_to_disk(tmp_path / "shop")
    data = read_source(SOURCE, tmp_path / "shop", **chosen())
    labels = data.splits["train"].labels["fine"].tolist()
    assert [data.levels["fine"][label] if label >= 0 else None for label in labels] == [
        "x/y", "z/y", "v", "w/x/y", None, "v", None,
    ]  # fmt: skip
    assert len(set(data.levels["fine"])) == len(data.levels["fine"]) == 4


def test_coarse_labels_may_come_from_a_map(tmp_path: Path, shop: Any) -> None:
    shop.save_to_disk(tmp_path / "shop")
    table = tmp_path / "map.csv"
    table.write_text("fine,coarse\nboot,feet\nclog,feet\ntote,arms\n")
    data = read_source(SOURCE, tmp_path / "shop", **chosen(coarse=None, coarse_map=table))
    assert data.levels["coarse"] == ["arms", "feet"]
    assert data.splits["train"].labels["coarse"].tolist() == [1, 1, 0, 1, -1, 0]
    table.write_text("fine,coarse\nboot,feet\n")
    with pytest.raises(InputError, match=r"no coarse class for 2 of 3 fine classes: clog, tote"):
        read_source(SOURCE, tmp_path / "shop", **chosen(coarse=None, coarse_map=table))


def test_missing_values_are_unknown_and_counted(tmp_path: Path, shop: Any) -> None:
    text = ["shoes", "NaN", None, "", "N/A", "bags"]
    kinds = datasets.Dataset.from_dict(
        {"photo": shop["train"]["photo"], "Category": text, "species": [0, 1, 2, -1, None, 1],
         "number": [1.0, float("nan"), None, 2.0, 10.0, 1.0]},
        features=datasets.Features(
            {"photo": datasets.Image(), "Category": datasets.Value("string"),
             "species": datasets.ClassLabel(names=["null", "boot", "tote"]), "number": datasets.Value("float64")}
        ),
    )  # fmt: skip
    datasets.DatasetDict({"train": kinds}).save_to_disk(tmp_path / "kinds")
    lines: list[str] = []

    class Notes(Reporter):
        def info(self, text: str) -> None:
            lines.append(text)

    options = {"coarse": None, "fine": None, "label_columns": ("number",), "reporter": Notes()}
    data = read_source(SOURCE, tmp_path / "kinds", **chosen(**options))
    assert data.levels == {"coarse": ["bags", "shoes"], "fine": ["boot", "tote"], "number": ["1", "2", "10"]}
    assert {level: column.tolist() for level, column in data.splits["train"].labels.items()} == {
        "coarse": [1, -1, -1, -1, -1, 0], "fine": [-1, 0, 1, -1, -1, 0], "number": [0, -1, -1, 1, 2, 0],
    }  # fmt: skip
    assert lines == [
        "columns by their usual names: coarse from 'Category', fine from 'species'",
        "column Category: 4 of 6 labels are missing and stay unknown (2 empty, 1 NaN, 1 N/A); "
        "set keep_na if N/A or NaN is a class name",
        "column species: 3 of 6 labels are missing and stay unknown (2 empty, 1 null); "
        "set keep_na if null is a class name",
        "column number: 2 of 6 labels are missing and stay unknown (2 empty)",
    ]
    kept = read_source(SOURCE, tmp_path / "kinds", **chosen(coarse=None, fine=None, keep_na=True))
    assert kept.levels == {"coarse": ["N/A", "NaN", "bags", "shoes"], "fine": ["null", "boot", "tote"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coarse": "aisle"}, "no column aisle; it has photo, department"),
        ({"path": "department"}, "the column department has no images; these have photo"),
        ({"fine": "weight"}, "the column weight has float values instead of class labels, text or integers"),
        ({"fine": "photo"}, "instead of class labels"),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path: Path, shop: Any, options: dict, message: str) -> None:
    shop.save_to_disk(tmp_path / "shop")
    with pytest.raises(InputError, match=message):
        read_source(SOURCE, tmp_path / "shop", **chosen(**options))


def test_what_is_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; set download to get the dataset of this name"):
        read_source(SOURCE, Path("somebody/shop"), **chosen())
    with pytest.raises(InputError, match="not a readable dataset"):
        read_source(SOURCE, Path("somebody/shop"), **chosen(download=True))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "state.json").write_text("{")
    with pytest.raises(InputError, match="not a readable dataset"):
        read_source(SOURCE, tmp_path / "shop", **chosen())


def test_a_table_that_names_files_outside_is_refused(tmp_path: Path, shop: Any) -> None:
    secret = tmp_path / "photos" / "train" / "1.jpg"
    features = datasets.Features({"photo": datasets.Image(decode=False), "department": datasets.Value("string")})
    rows = {"photo": [{"bytes": None, "path": str(secret)}], "department": ["shoes"]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "shop" / "train.parquet")
    import pyarrow.parquet as parquet

    assert parquet.read_table(tmp_path / "shop" / "train.parquet")["photo"][0].as_py()["path"] == str(secret)
    with pytest.raises(InputError, match="is outside the dataset"):
        prepare_dataset(SOURCE, tmp_path / "out", source=tmp_path / "shop", **chosen(fine=None))
    assert not (tmp_path / "out").exists()


def test_what_is_exported_comes_back_the_same(tmp_path: Path, array_data: SourceData) -> None:
    dataset = write_dataset(tmp_path / "data", array_data)
    export(dataset, tmp_path / "hub")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "hub"}
    loaded = datasets.load_from_disk(tmp_path / "hub")
    assert loaded["train"].features["fine"].names == ["a1", "a2", "b1", "b2"]
    np.testing.assert_array_equal(np.asarray(loaded["test"][1]["image"]), dataset.split("test").image(1))
    back = prepare_dataset(SOURCE, tmp_path / "back", source=tmp_path / "hub", size=8, coarse="coarse", fine="fine")
    for name, split in dataset.info.splits.items():
        assert back.info.splits[name].checksum == split.checksum
        assert back.split(name).names == dataset.split(name).names
    assert back.info.levels == dataset.info.levels
    with pytest.raises(InputError, match="already exists"):
        export(dataset, tmp_path / "hub")


def test_files_are_exported_byte_for_byte(tmp_path: Path, shop: Any) -> None:
    shop.save_to_disk(tmp_path / "shop")
    dataset = prepare_dataset(SOURCE, tmp_path / "data", source=tmp_path / "shop", **chosen())
    export(open_dataset(tmp_path / "data"), tmp_path / "hub")
    loaded = datasets.load_from_disk(tmp_path / "hub")["train"].cast_column("image", datasets.Image(decode=False))
    files = dataset.split("train").files
    assert files is not None
    assert [row["bytes"] for row in loaded["image"]] == [file.read_bytes() for file in files]


def test_class_names_in_two_unicode_forms_are_one_class(tmp_path: Path, save_image: Callable[..., Path]) -> None:
    nfc, nfd = "caf\u00e9", "cafe\u0301"
    photo = {"bytes": save_image(tmp_path / "0.jpg", (40, 40), 0).read_bytes(), "path": "0.jpg"}
    columns = {"photo": [photo] * 4, "text": [nfc, nfd, "tea", None], "number": [0, 1, 2, -1]}
    features = datasets.Features(
        {"photo": datasets.Image(), "text": datasets.Value("string"),
         "number": datasets.ClassLabel(names=[nfc, nfd, "tea"])}
    )  # fmt: skip
    place = tmp_path / "cups"
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(columns, features=features)}).save_to_disk(place)
    data = read_source(SOURCE, place, **chosen(coarse="text", fine="number"))
    assert data.levels == {"coarse": [nfc, "tea"], "fine": [nfc, "tea"]}
    for level in ("coarse", "fine"):
        assert data.splits["train"].labels[level].tolist() == [0, 0, 1, -1]


def test_damaged_rows_are_reported_with_their_column(tmp_path: Path, shop: Any) -> None:
    shop.save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved" / "train").glob("*.arrow")
    texts = file.read_bytes()
    file.write_bytes(texts.replace(b"bags", b"\xffags", 1))
    with pytest.raises(InputError, match=r"the column department: cannot be read \(UnicodeDecodeError"):
        read_source(SOURCE, tmp_path / "saved", **chosen(coarse="department"))
