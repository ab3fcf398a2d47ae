"""ILSVRC 2012 gives the same images and labels in every form, and says what is missing of it."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sources import read_source
from stand_ins import ilsvrc as stand_in

from coarsecon.data.formats.images import decode, read_bytes
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import SourceData, SplitData, breeds, ilsvrc, imagenet1k, imagenet100
from coarsecon.data.sources.labels import read_table

TRAIN = {wnid: content for wnid, _, content in stand_in.train_images(stand_in.WNIDS)}
VAL = {wnid: content for wnid, _, content in stand_in.val_images()}


def wnids(data: SourceData, split: str) -> list[str]:
    """The WNID that the fine label of each image names."""
    names = [name.rpartition("(")[2].rstrip(")") for name in data.levels["fine"]]
    return [names[number] for number in data.splits[split].labels["fine"]]


def contents(split: SplitData) -> list[bytes]:
    return [read_bytes(file) for file in split.images]  # type: ignore[arg-type]


def read(
    write: Callable[..., list[str]], place: Path, monkeypatch: pytest.MonkeyPatch, source=imagenet1k.SOURCE
) -> SourceData:
    write(place, monkeypatch)
    return read_source(source, place)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both tar files, all annotations, and the flat validation folder."""
    place = tmp_path_factory.mktemp("ilsvrc")
    stand_in.write_train_tar(place)
    stand_in.write_val_tar(place)
    return place


@pytest.fixture
def place(originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both tar files, without annotations."""
    stand_in.take_as_published(monkeypatch)
    folder = tmp_path / "ilsvrc"
    shutil.copytree(originals, folder)
    return folder


@pytest.mark.parametrize("annotation", ["devkit", "text", "csv", "xml"])
def test_tars_give_each_image_its_class_whatever_tells_it(place: Path, annotation: str) -> None:
    if annotation == "text":
        (place / "ILSVRC2012_validation_ground_truth.txt").write_text(stand_in.ground_truth())
    elif annotation == "xml":
        stand_in.write_xml(place / "Annotations" / "CLS-LOC" / "val")
    else:
        {"devkit": stand_in.write_devkit, "csv": stand_in.write_solution}[annotation](place)
    data = read_source(imagenet1k.SOURCE, place)
    for split, images in (("train", TRAIN), ("test", VAL)):
        assert wnids(data, split) == stand_in.WNIDS
        assert contents(data.splits[split]) == [images[wnid] for wnid in stand_in.WNIDS]
    assert data.splits["test"].names is not None
    assert data.splits["test"].names[1] == "n01443537/ILSVRC2012_val_00000144.JPEG"


def test_coarse_labels_are_the_twelve_of_the_table(place: Path) -> None:
    stand_in.write_devkit(place)
    data = read_source(imagenet1k.SOURCE, place)
    coarse = [int(row["coarse"]) for row in read_table("imagenet")]
    for split in data.splits.values():
        assert split.labels["coarse"].tolist() == coarse
        assert split.labels["fine"].tolist() == list(range(1000))
    assert len(data.levels["coarse"]) == 12
    assert data.levels["fine"][134] == "crane (n02012849)"
    assert len(set(data.levels["fine"])) == 1000


@pytest.mark.parametrize("writer", [stand_in.write_living17_challenge, stand_in.write_nonliving26_xml])
def test_folders_give_each_image_its_class(
    writer: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = writer.__name__.split("_")[1]
    source = {"living17": breeds.LIVING17, "nonliving26": breeds.NONLIVING26}[name]
    data = read(writer, tmp_path / "x", monkeypatch, source)
    for split, images in (("train", TRAIN), ("test", VAL)):
        assert contents(data.splits[split]) == [images[wnid] for wnid in wnids(data, split)]


def test_imagenet100_is_in_the_order_of_wnids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read(stand_in.write_imagenet100_folders, tmp_path / "x", monkeypatch, imagenet100.SOURCE)
    assert wnids(data, "train") == wnids(data, "test") == stand_in.subset("imagenet100")
    assert set(data.splits["train"].labels["coarse"].tolist()) == set(range(12))


def test_odd_images_of_ilsvrc_decode(tmp_path: Path) -> None:
    """One of its JPEGs is a PNG, some are CMYK, some grey."""
    by_wnid = {wnid: content for wnid, _, content in stand_in.train_images(stand_in.WNIDS)}
    kinds = {stand_in.PNG_CALLED_JPEG: b"\x89PNG", stand_in.CMYK: b"\xff\xd8", stand_in.GREY: b"\xff\xd8"}
    for wnid, start in kinds.items():
        assert by_wnid[wnid].startswith(start)
        assert decode(by_wnid[wnid]).shape == (30, 40, 3)


@pytest.mark.parametrize("source", [breeds.LIVING17, breeds.ENTITY13])
@pytest.mark.parametrize("variant", ["none", "rand", "good", "bad"])
def test_breeds_splits_hold_their_subclasses(source, variant: str, place: Path) -> None:
    stand_in.write_devkit(place)
    data = read_source(source, place, variant=variant)
    rows = [row for row in read_table("breeds") if (row["dataset"], row["variant"]) == (source.name, variant)]
    domains = {"train": "both", "test": "both"}
    if variant != "none":
        domains = {"train": "source", "val": "source", "test": "target"}
    assert list(data.splits) == list(domains)
    superclass = {row["wnid"]: row["coarse_name"] for row in rows}
    for split, domain in domains.items():
        expected = sorted(row["wnid"] for row in rows if row["domain"] == domain)
        assert wnids(data, split) == expected
        coarse = [data.levels["coarse"][number] for number in data.splits[split].labels["coarse"]]
        assert coarse == [superclass[wnid] for wnid in expected]
        sizes = Counter(coarse)
        assert len(sizes) == source.levels["coarse"]
        assert len(set(sizes.values())) == 1
    assert {level: len(names) for level, names in data.levels.items()} == source.levels
    assert data.notes.startswith(f"Variant {variant}")


def test_the_command_names_the_variant_it_does_not_know(coarsecon, tmp_path: Path) -> None:
    done = coarsecon("prepare", "living17", "--source", tmp_path, "--variant", "best", "--out", tmp_path / "out")
    assert done.code == 2
    assert "Invalid value for '--variant': 'best' is not one of 'none', 'rand', 'good', 'bad'" in done.err


def remove_class_folder(place: Path) -> None:
    shutil.rmtree(place / "train" / stand_in.subset("imagenet100")[0])


def remove_image(place: Path) -> None:
    next((place / "train" / stand_in.subset("imagenet100")[3]).iterdir()).unlink()


def add_image(place: Path) -> None:
    (place / "val" / "n01558993" / "x.JPEG").write_bytes(TRAIN["n01558993"])


def break_image(place: Path) -> None:
    file = sorted((place / "train").rglob("*.JPEG"))[50]
    file.write_bytes(file.read_bytes()[:80])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (remove_class_folder, "train: n01558993 missing of 100 class folders; unpack them there"),
        (remove_image, r"train: 0 images of n01735189, not 1; unpack them again"),
        (add_image, r"val: 2 images of n01558993, not 1"),
        (lambda place: shutil.rmtree(place / "val"), "neither the folder val nor ILSVRC2012_img_val.tar; get them"),
        (lambda place: shutil.rmtree(place / "train"), "neither the folder train nor ILSVRC2012_img_train.tar"),
        (break_image, r"train/n\d+/n\d+_\d+.JPEG: not a readable image"),
    ],
)
def test_what_is_missing_of_the_folders_is_named(
    damage: Callable[[Path], None], problem: str, coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = stand_in.write_imagenet100_folders(tmp_path / "original", monkeypatch)
    damage(tmp_path / "original")
    done = coarsecon("prepare", "imagenet100", *arguments, "--out", tmp_path / "out")
    assert done.code == 2
    assert_says(done.err, problem)
    assert not (tmp_path / "out").exists()


def assert_says(shown: str, problem: str) -> None:
    assert re.search(problem, " ".join(shown.split())), shown
    assert "Traceback" not in shown


def truncate(file: str, share: float) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        content = (place / file).read_bytes()
        (place / file).write_bytes(content[: int(len(content) * share)])

    return damage


def write(name: str, content: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)

    return damage


GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
FIRST = "ILSVRC2012_val_00000001"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            lambda place: None,
            f"no annotations of the validation images; add {GROUND_TRUTH}, ILSVRC2012_devkit_t12.tar.gz",
        ),
        (truncate("ILSVRC2012_img_train.tar", 0.5), r"ILSVRC2012_img_train.tar: .*; download it again"),
        (truncate("ILSVRC2012_img_val.tar", 0.5), r"ILSVRC2012_img_val.tar: .*; download it again"),
        (
            lambda place: (place / "ILSVRC2012_img_val.tar").rename(place / "ILSVRC2012_img_val.tar.gz"),
            "ILSVRC2012_img_val.tar.gz: compressed archives are not read; unpack it to ILSVRC2012_img_val.tar",
        ),
        (write(GROUND_TRUTH, "1\n2\n"), f"{GROUND_TRUTH}: no class for ILSVRC2012_val_00000003"),
        (write(GROUND_TRUTH, "1\n1001\n"), f"{GROUND_TRUTH}: line 2 is '1001', no id of 1 to 1000"),
        (write(GROUND_TRUTH, "1\n" * 1000), r"ILSVRC2012_img_val.tar: \d+ images of n\d+, not 1"),
        (write("LOC_val_solution.csv", "ImageId,PredictionString\n"), f"no class for {FIRST}"),
        (
            write("LOC_val_solution.csv", f"ImageId,PredictionString\n{FIRST},n0 1\n"),
            f"no ILSVRC class for {FIRST}",
        ),
        (write("LOC_val_solution.csv", "a,b\n1,2\n"), f"no class for {FIRST}"),
        (write(f"val/{FIRST}.xml", "<annotation>"), f"val/{FIRST}.xml: not a readable annotation"),
        (write(f"Annotations/CLS-LOC/val/{FIRST}.xml", "<annotation/>"), f"{FIRST}.xml: it names 0 classes, not one"),
        (write(f"Annotations/CLS-LOC/val/{FIRST}.xml", "<!--" + "x" * 2**20 + "-->"), "larger than any annotation"),
    ],
)
def test_what_is_missing_of_the_archives_is_named(
    damage: Callable[[Path], None], problem: str, coarsecon, place: Path, tmp_path: Path
) -> None:
    damage(place)
    done = coarsecon("prepare", "imagenet1k", "--source", place, "--size", 8, "--out", tmp_path / "out")
    assert done.code == 2
    assert_says(done.err, problem)
    assert not (tmp_path / "out").exists()


def test_the_published_counts_are_asked_for(place: Path, coarsecon, tmp_path: Path, monkeypatch) -> None:
    stand_in.write_devkit(place)
    monkeypatch.setattr(ilsvrc, "TRAIN_TOTAL", 1_281_167)
    done = coarsecon("prepare", "imagenet1k", "--source", place, "--out", tmp_path / "out")
    assert done.code == 2
    assert_says(done.err, "1,000 images, not the 1,281,167 of ILSVRC 2012")


def test_without_a_source_the_message_says_where_to_register(coarsecon, tmp_path: Path) -> None:
    done = coarsecon("prepare", "entity30", "--out", tmp_path / "out")
    assert done.code == 2
    assert_says(done.err, r"source: missing; name the folder with ILSVRC 2012 \(register at https://image-net.org")
    done = coarsecon("prepare", "entity30", "--source", tmp_path / "none", "--out", tmp_path / "out")
    assert_says(done.err, "none: no such folder")


def test_tars_prepare_to_the_images_they_hold(place: Path, coarsecon, tmp_path: Path) -> None:
    stand_in.write_devkit(place)
    done = coarsecon("prepare", "living17", "--source", place, "--size", 72, "--workers", 2, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    dataset = open_dataset(tmp_path / "out")
    assert dataset.info.form == "files"
    for name, images in (("train", TRAIN), ("test", VAL)):
        split = dataset.split(name)
        for i in (0, 30, 67):
            wnid = split.names[i].split("/")[0]
            np.testing.assert_array_equal(split.image(i), decode(images[wnid]))
