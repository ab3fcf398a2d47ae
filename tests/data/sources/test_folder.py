"""A user's own images become a dataset, labels and splits as their folders or table say."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sources import read_source

from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.sources.folder import SOURCE
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter


@pytest.fixture
def tree(tmp_path: Path, save_image: Callable[..., Path]) -> Callable[..., Path]:
    """Makes a folder `photos` of images."""

    def make(*paths: str) -> Path:
        for seed, path in enumerate(paths):
            save_image(tmp_path / "photos" / path, (100, 80), seed)
        return tmp_path / "photos"

    return make


def test_a_tree_becomes_a_dataset(tree: Callable[..., Path], tmp_path: Path) -> None:
    source = tree("train/dog/pug/1.jpg", "train/dog/boxer/1.jpg", "train/cat/1.jpg", "test/cat/manx/1.jpg")
    dataset = prepare_dataset(SOURCE, tmp_path / "out", source=source)
    assert (dataset.info.name, dataset.info.size, dataset.info.form) == ("photos", 224, "files")
    assert dataset.info.levels == {"coarse": ["cat", "dog"], "fine": ["manx", "boxer", "pug"]}
    train = dataset.split("train")
    assert train.names == ["train/cat/1.jpg", "train/dog/boxer/1.jpg", "train/dog/pug/1.jpg"]
    assert train.labels["coarse"].tolist() == [0, 1, 1]
    assert train.labels["fine"].tolist() == [-1, 1, 2]
    assert dataset.split("test").labels["fine"].tolist() == [0]
    assert "no other was named" not in dataset.info.notes
    assert "1 fine class (manx) without training images." in dataset.info.notes


def test_a_table_becomes_the_same_dataset_as_its_tree(tree: Callable[..., Path], tmp_path: Path) -> None:
    source = tree("train/dog/pug/1.jpg", "train/cat/1.jpg", "test/cat/manx/1.jpg")
    table = source / "table.csv"
    table.write_text(
        "path,coarse,fine,split\ntrain/cat/1.jpg,cat,,train\n"
        "train/dog/pug/1.jpg,dog,pug,train\ntest/cat/manx/1.jpg,cat,manx,test\n"
    )
    from_table = prepare_dataset(SOURCE, tmp_path / "table", table=table)
    from_tree = prepare_dataset(SOURCE, tmp_path / "tree", source=source)
    assert from_table.info == from_tree.info
    elsewhere = table.rename(tmp_path / "elsewhere.csv")
    moved = prepare_dataset(SOURCE, tmp_path / "moved", source=source, table=elsewhere)
    assert moved.info == from_tree.info


def test_without_splits_all_is_train(tree: Callable[..., Path]) -> None:
    data = read_source(SOURCE, tree("dog/1.jpg", "cat/1.jpg"))
    assert list(data.splits) == ["train"]


def test_without_fine_classes_there_is_no_fine_level(tree: Callable[..., Path]) -> None:
    data = read_source(SOURCE, tree("dog/1.jpg", "cat/1.jpg"))
    assert data.levels == {"coarse": ["cat", "dog"]}
    assert list(data.splits["train"].labels) == ["coarse"]


def test_fine_names_that_stand_twice_tell_their_coarse_class(tree: Callable[..., Path]) -> None:
    data = read_source(SOURCE, tree("apple/red/1.jpg", "pepper/red/1.jpg", "pepper/green/1.jpg"))
    assert data.levels["fine"] == ["apple/red", "green", "pepper/red"]
    assert data.splits["train"].labels["fine"].tolist() == [0, 1, 2]


def test_a_fine_name_with_a_slash_stays_another_class_than_the_name_in_its_coarse_class(
    tree: Callable[..., Path], tmp_path: Path
) -> None:
    source, table = tree("1.jpg", "2.jpg", "3.jpg", "4.jpg"), tmp_path / "t.csv"
    rows = zip(range(1, 5), ["x", "z", "w", "x"], ["y", "y", "x/y", "x/y"], strict=True)
    table.write_text("path,coarse,fine\n" + "".join(f"{i}.jpg,{coarse},{fine}\n" for i, coarse, fine in rows))
    data = read_source(SOURCE, source, table=table)
    labels = data.splits["train"].labels["fine"].tolist()
    assert [data.levels["fine"][label] for label in labels] == ["x/y", "z/y", "w/x/y", "x/x/y"]


def test_a_coarse_map_does_not_merge_class_folders_of_one_name(tree: Callable[..., Path], tmp_path: Path) -> None:
    source, table = tree("apple/red/1.jpg", "pepper/red/1.jpg"), tmp_path / "map.csv"
    table.write_text("fine,coarse\nred,warm\n")
    with pytest.raises(InputError, match="fine class red is in several folders: apple, pepper"):
        read_source(SOURCE, source, coarse_map=table)


def test_a_small_size_gives_an_array_of_squares(tree: Callable[..., Path], tmp_path: Path) -> None:
    source = tree("Ä pfel/1.jpg", "日本/1.png")
    dataset = prepare_dataset(SOURCE, tmp_path / "out", source=source, size=32, workers=1)
    images = dataset.split("train").images
    assert images is not None
    assert images.shape == (2, 3, 32, 32)
    assert dataset.split("train").names == ["Ä pfel/1.jpg", "日本/1.png"]
    np.testing.assert_allclose(dataset.info.mean, (images.double() / 255).mean(dim=(0, 2, 3)))


class Lines(Reporter):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def info(self, text: str) -> None:
        self.seen.append(text)


def test_skipped_files_are_counted_by_kind_and_folder(tree: Callable[..., Path]) -> None:
    source = tree("dog/1.jpg")
    for name in ("dog/notes.txt", "dog/more.TXT", "clip.mp4"):
        (source / name).write_text("x")
    reporter = Lines()
    read_source(SOURCE, source, reporter=reporter)
    assert reporter.seen == [
        "skipped 3 files that are not images: 2 .txt, 1 .mp4 (2 in dog, 1 in the top folder)",
    ]


def test_classes_without_images_are_in_warnings_and_notes(tree: Callable[..., Path]) -> None:
    source = tree("dog/1.jpg", "cat/1.jpg")
    (source / "bird").mkdir()
    reporter = Lines()
    data = read_source(SOURCE, source, reporter=reporter)
    assert reporter.seen == ["Warning: No images in 1 folder: bird (empty)."]
    assert data.notes.startswith("No images in 1 folder: bird (empty).")


def test_folders_in_two_unicode_forms_become_one_class_with_a_note(tree: Callable[..., Path]) -> None:
    data = read_source(SOURCE, tree("caf\u00e9/1.jpg", "cafe\u0301/1.jpg", "tea/1.jpg"))
    assert data.levels["coarse"] == ["caf\u00e9", "tea"]
    assert sorted(data.splits["train"].labels["coarse"].tolist()) == [0, 0, 1]
    assert "Folders in several Unicode forms became one class each: caf\u00e9." in data.notes


def test_training_and_test_folders_in_other_unicode_forms_are_the_same_classes(tree: Callable[..., Path]) -> None:
    data = read_source(SOURCE, tree("train/caf\u00e9/1.jpg", "test/cafe\u0301/1.jpg", "train/tea/1.jpg"))
    assert data.levels["coarse"] == ["caf\u00e9", "tea"]
    assert data.splits["test"].labels["coarse"].tolist() == [0]
    assert "Unicode" not in data.notes


def test_files_of_operating_systems_and_storage_devices_become_no_classes(tree: Callable[..., Path]) -> None:
    junk = ("@eaDir/x.jpg", "$RECYCLE.BIN/x.jpg", "System Volume Information/x.jpg", ".thumbnails/x.jpg",
            "lost+found/x.jpg", ".Trashes/x.jpg", ".Spotlight-V100/x.jpg", "#recycle/x.jpg", ".AppleDouble/x.jpg",
            "__MACOSX/dog/x.jpg", ".ipynb_checkpoints/x.jpg", "dog/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "dog/._1.jpg",
            "dog/SYNOPHOTO_THUMB_XL.jpg")  # fmt: skip
    source = tree("dog/1.jpg", "cat/1.jpg", *junk)
    for name in ("dog/Thumbs.db", "desktop.ini", "cat/.DS_Store"):
        (source / name).write_bytes(b"x")
    reporter = Lines()
    data = read_source(SOURCE, source, reporter=reporter)
    assert data.splits["train"].names == ["cat/1.jpg", "dog/1.jpg"]
    assert reporter.seen == []


def test_images_without_or_with_a_wrong_suffix_are_read(tree: Callable[..., Path], tmp_path: Path) -> None:
    source = tree("dog/1.jpg", "cat/1.png")
    (source / "dog" / "1.jpg").rename(source / "dog" / "DSC1")
    (source / "cat" / "1.png").rename(source / "cat" / "1.txt")
    dataset = prepare_dataset(SOURCE, tmp_path / "out", source=source, size=32, workers=1)
    assert dataset.split("train").names == ["cat/1.txt", "dog/DSC1"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: no such folder; name a folder as source"):
        read_source(SOURCE, tmp_path / "none")


def test_a_folder_without_training_images_is_an_error(tree: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="no image is in the split train, only in test, val"):
        read_source(SOURCE, tree("test/dog/1.jpg", "val/dog/1.jpg"))


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    with pytest.raises(InputError, match=f"{tmp_path}: no images; expected coarse/image"):
        read_source(SOURCE, tmp_path)


def test_a_table_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path,coarse\n")
    with pytest.raises(InputError, match=r"table\.csv: no images; expected rows below its first line"):
        read_source(SOURCE, table=tmp_path / "table.csv")


def test_neither_folder_nor_table_is_an_error() -> None:
    with pytest.raises(InputError, match="source: missing; name a folder of images, or a table of them"):
        read_source(SOURCE)


def test_the_sources_are_told_of_without_torch() -> None:
    modules = "cifar10, cifar100, cifartoy, folder"
    code = f"import sys; from coarsecon.data.sources import {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_real_photos_are_prepared(shared: Path, tmp_path: Path) -> None:
    table = shared / "data" / "grocery" / "table.csv"
    dataset = prepare_dataset(SOURCE, tmp_path / "out", table=table, size=32)
    assert {name: split.count for name, split in dataset.info.splits.items()} == {
        "train": 2640,
        "test": 2485,
        "val": 296,
    }
    assert {level: len(names) for level, names in dataset.info.levels.items()} == {"coarse": 43, "fine": 81}


def test_a_map_is_read_in_any_unicode_form(tree: Callable[..., Path], tmp_path: Path) -> None:
    source = tree("caf\u00e9/1.jpg", "tea/1.jpg")
    (tmp_path / "map.csv").write_text("fine,coarse\ncafe\u0301,Getra\u0308nk\ntea,Getr\u00e4nk\n", encoding="utf-8")
    data = read_source(SOURCE, source, coarse_map=tmp_path / "map.csv")
    assert data.levels == {"coarse": ["Getr\u00e4nk"], "fine": ["caf\u00e9", "tea"]}


def test_a_source_is_found_in_any_unicode_form(tree: Callable[..., Path], tmp_path: Path) -> None:
    tree("dog/1.jpg").rename(tmp_path / "cafe\u0301")
    data = read_source(SOURCE, tmp_path / "caf\u00e9")
    assert data.splits["train"].names == ["dog/1.jpg"]


def test_missing_labels_of_a_table_are_unknown_at_every_level(tree: Callable[..., Path]) -> None:
    source = tree("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    table = source / "table.csv"
    table.write_text("path,coarse,fine,color\n1.jpg,dog,NaN,red\n2.jpg,None,pug,null\n3.jpg,dog,pug,\n4.jpg,cat,,red\n")
    notes = Lines()
    data = read_source(SOURCE, table=table, label_columns=("color",), reporter=notes)
    assert data.levels == {"coarse": ["cat", "dog"], "fine": ["pug"], "color": ["red"]}
    assert {level: column.tolist() for level, column in data.splits["train"].labels.items()} == {
        "coarse": [1, -1, 1, 0], "fine": [-1, 0, 0, -1], "color": [0, -1, -1, 0],
    }  # fmt: skip
    counts = [line.partition(" labels")[0] for line in notes.seen]
    assert sorted(counts) == ["column coarse: 1 of 4", "column color: 2 of 4", "column fine: 2 of 4"]
    kept = read_source(SOURCE, table=table, keep_na=True)
    assert kept.levels == {"coarse": ["None", "cat", "dog"], "fine": ["None/pug", "NaN", "dog/pug"]}


def test_a_fine_label_of_several_coarse_classes_is_unknown_without_a_coarse_label(tree: Callable[..., Path]) -> None:
    source = tree("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    table = source / "table.csv"
    table.write_text("path,coarse,fine\n1.jpg,apple,red\n2.jpg,pepper,red\n3.jpg,,red\n4.jpg,,blue\n")
    notes = Lines()
    data = read_source(SOURCE, table=table, reporter=notes)
    assert data.levels["fine"] == ["blue", "apple/red", "pepper/red"]
    assert data.splits["train"].labels["fine"].tolist() == [1, 2, -1, 0]
    assert "1 fine labels stay unknown" in notes.seen[-1]


def test_with_a_map_an_image_without_a_fine_label_has_no_coarse_one(tree: Callable[..., Path], tmp_path: Path) -> None:
    table = tree("1.jpg", "2.jpg") / "table.csv"
    table.write_text("filename,label\n1.jpg,pug\n2.jpg,NA\n")
    (tmp_path / "map.csv").write_text("Species;Category\npug;dog\n")
    data = read_source(SOURCE, table=table, coarse_map=tmp_path / "map.csv")
    assert data.splits["train"].labels["coarse"].tolist() == [0, -1]
    table.write_text("filename,label\n1.jpg,\n2.jpg,NA\n")
    with pytest.raises(InputError, match=r"no image has a fine label that .*map.csv maps"):
        read_source(SOURCE, table=table, coarse_map=tmp_path / "map.csv")


def test_classes_that_differ_in_spelling_are_named(tree: Callable[..., Path]) -> None:
    notes = Lines()
    read_source(SOURCE, tree("Dog/1.jpg", "dog/1.jpg", "cat/1.jpg"), reporter=notes)
    assert "the coarse classes 'Dog' and 'dog' differ only in spelling" in notes.seen[-1]


def test_further_columns_become_levels_and_others_are_told(tree: Callable[..., Path], tmp_path: Path) -> None:
    class Lines(Reporter):
        seen: list[str] = []

        def info(self, text: str) -> None:
            self.seen.append(text)

    source = tree("1.jpg", "2.jpg", "3.jpg")
    table = source / "table.csv"
    table.write_text("path,kind,brand,year,price\n1.jpg,cat,acme,2020,9\n2.jpg,cat,,2021,8\n3.jpg,dog,zeta,2020,7\n")
    data = read_source(SOURCE, table=table, coarse="kind", label_columns=("brand", "year"), reporter=Lines())
    assert data.levels == {"coarse": ["cat", "dog"], "brand": ["acme", "zeta"], "year": ["2020", "2021"]}
    labels = data.splits["train"].labels
    assert (labels["brand"].tolist(), labels["year"].tolist()) == ([0, -1, 1], [0, 1, 0])
    assert Lines.seen == [
        "column brand: 1 of 3 labels are missing and stay unknown (1 empty)",
        "columns not used: price; add them to label_columns to make them levels",
    ]
    with pytest.raises(InputError, match="no column color"):
        read_source(SOURCE, table=table, coarse="kind", label_columns=("color",))
    with pytest.raises(ValueError, match=r"'\.\./x' is not a valid level name"):
        read_source(SOURCE, table=table, coarse="kind", label_columns=("../x",))
    with pytest.raises(ValueError, match="'fine' is already a level"):
        read_source(SOURCE, table=table, coarse="kind", label_columns=("fine",))
    with pytest.raises(InputError, match="label_columns: names a column of a table"):
        read_source(SOURCE, source, label_columns=("brand",))


def test_folder_levels_become_label_levels(tree: Callable[..., Path], tmp_path: Path) -> None:
    source = tree("food/other/tea/1.jpg", "home/other/tea/2.jpg", "home/lamp/3.jpg")
    data = read_source(SOURCE, source, folder_levels="department,coarse,fine")
    assert data.levels == {
        "coarse": ["food/other", "home/other", "lamp"],
        "fine": ["food/other/tea", "home/other/tea"],
        "department": ["food", "home"],
    }
    labels = {level: column.tolist() for level, column in data.splits["train"].labels.items()}
    assert labels == {"coarse": [0, 2, 1], "fine": [0, -1, 1], "department": [0, 1, 1]}
    with pytest.raises(InputError, match="name the levels of deeper folders with folder_levels"):
        read_source(SOURCE, source)
    for levels, problem in (
        ("department,fine", "no level coarse"),
        ("coarse,coarse", "twice"),
        ("coarse,a b", "valid"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_source(SOURCE, source, folder_levels=levels)
    table = tmp_path / "table.csv"
    table.write_text("path,coarse\nfood/other/tea/1.jpg,a\n")
    with pytest.raises(InputError, match="folder_levels: names folders, but a table lists the images"):
        read_source(SOURCE, source, table=table, folder_levels="coarse")


@pytest.mark.parametrize("form", ["tree", "table", "both"])
def test_a_map_makes_coarse_labels_from_fine_ones(tree: Callable[..., Path], tmp_path: Path, form: str) -> None:
    source = tree("pug/1.jpg", "manx/1.jpg", "boxer/1.jpg")
    coarse_map = tmp_path / "map.csv"
    coarse_map.write_text("fine,coarse\npug,dog\nboxer,dog\nmanx,cat\nlion,cat\n")
    table = source / "table.csv"
    head, wrong = ("path,fine,coarse", ",thing") if form == "both" else ("path,fine", "")
    table.write_text("\n".join([head, *(f"{name}/1.jpg,{name}{wrong}" for name in ("boxer", "manx", "pug"))]))
    place = {"source": source} if form == "tree" else {"table": table}
    data = read_source(SOURCE, **place, coarse_map=coarse_map)
    assert data.levels == {"coarse": ["cat", "dog"], "fine": ["manx", "boxer", "pug"]}
    assert data.splits["train"].labels["coarse"].tolist() == [1, 0, 1]
    coarse_map.write_text("fine,coarse\npug,dog\n")
    with pytest.raises(InputError, match=r"map.csv: no coarse class for 2 of 3 fine classes: boxer, manx"):
        read_source(SOURCE, **place, coarse_map=coarse_map)
    coarse_map.write_text("fine,coarse\npug,dog\npug,cat\n")
    with pytest.raises(InputError, match=r"map.csv, line 3: pug is cat here and dog before"):
        read_source(SOURCE, **place, coarse_map=coarse_map)
