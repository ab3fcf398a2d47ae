"""`coarsecon data`: check tells what it found and how it ends, show draws what it says."""

import json
import shutil

import numpy as np
from PIL import Image


def test_check_tells_a_whole_dataset_in_numbers_and_in_words(coarsecon, tiny_data):
    done = coarsecon("data", "check", tiny_data, "--workers", 1)
    assert done.code == 0
    assert "as written" in done.out
    told = json.loads(coarsecon("data", "check", tiny_data, "--json", "-").out)
    assert told["whole"] is True
    assert told["splits"]["train"] == {
        "count": 96, "is_as_written": True, "unknown": {"coarse": 0, "fine": 0}, "broken": [], "repeats": 0,
    }  # fmt: skip
    assert told["twins"] == []


def test_check_ends_with_an_error_where_something_changed(coarsecon, tiny_data, tmp_path):
    import shutil

    shutil.copytree(tiny_data, tmp_path / "data")
    with (tmp_path / "data" / "test.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\0")
    done = coarsecon("data", "check", tmp_path / "data", "--json", tmp_path / "check.json")
    assert done.code == 1
    assert "test not as prepared; prepare the dataset again" in done.err
    assert json.loads((tmp_path / "check.json").read_text())["whole"] is False


def test_show_draws_every_class_and_says_what_it_leaves_out(coarsecon, tiny_data, tmp_path):
    done = coarsecon("data", "show", tiny_data, "--png", tmp_path / "all.png", "--per-class", 3)
    assert done.code == 0
    assert "left out" not in done.err
    done = coarsecon("data", "show", tiny_data, "--png", tmp_path / "few.png", "--per-class", 3, "--classes", 5)
    assert "left out 11 classes" in done.err
    sizes = [Image.open(tmp_path / name).size for name in ("all.png", "few.png")]
    assert sizes[0][0] * sizes[0][1] > sizes[1][0] * sizes[1][1]
    assert coarsecon("data", "show", tiny_data, "--split", "val").code == 2


def test_a_part_of_the_classes_that_show_draws_is_even_over_the_coarse_classes(tiny_data):
    from coarsecon.data.prepared.store import open_dataset
    from coarsecon.report.class_samples import sample_blocks

    blocks, left = sample_blocks(open_dataset(tiny_data), "train", per_class=1, classes=8, seed=0)
    assert left == 8
    assert [len(block.rows) for block in blocks] == [2, 2, 2, 2]


def test_show_draws_what_is_known_of_partly_labeled_images(tmp_path, array_data):
    from coarsecon.data.prepare.dataset import write_dataset
    from coarsecon.report.class_samples import sample_blocks

    dataset = write_dataset(tmp_path / "data", array_data)
    blocks, left = sample_blocks(dataset, "train", per_class=2, classes=99, seed=0)
    assert left == 0
    assert [(block.name, block.count) for block in blocks] == [("a", 5 + 1), ("b", 4)]
    assert [[(row.name, row.count, len(row.images)) for row in block.rows] for block in blocks] == [
        [("a1", 3, 2), ("a2", 3, 2)], [("b1", 2, 2), ("b2", 1, 1), ("unlabeled", 1, 1)],
    ]  # fmt: skip
    drawn = np.stack([image for row in blocks[0].rows for image in row.images])
    assert drawn.shape == (4, 8, 8, 3)


def test_check_names_constant_channels(coarsecon, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    record = json.loads((tiny_data / "dataset.json").read_text())
    record["std"][2] = 0.0
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(record))
    done = coarsecon("data", "check", tmp_path / "data")
    assert done.code == 0
    assert "The channel blue is constant, or nearly so" in " ".join(done.err.split())
