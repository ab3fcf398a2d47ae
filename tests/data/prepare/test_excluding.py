"""Images that a table lists are left out: by path, in the splits that it names."""

import numpy as np
import pytest

from coarsecon.data.prepare.excluding import exclude_images, read_exclusions
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.errors import InputError


def source(names: dict[str, list[str] | None], count: int = 3) -> SourceData:
    splits = {
        name: SplitData(
            {"coarse": np.arange(count)},
            np.full((count, 3, 8, 8), 9, np.uint8),
            listed,
            [f"g{i}" for i in range(count)],
        )
        for name, listed in names.items()
    }
    return SourceData("mine", 8, {"coarse": ["a", "b", "c"]}, splits)


def table(tmp_path, text: str):
    path = tmp_path / "out.csv"
    path.write_text(text)
    return read_exclusions(path)


def left(data: SourceData) -> dict[str, list[str] | None]:
    return {name: split.names for name, split in data.splits.items()}


def test_only_proposals_to_exclude_count_and_the_split_decides_between_equal_paths(tmp_path):
    data = source({"train": ["a.jpg", "b.jpg", "=c.jpg"], "test": ["a.jpg", "d.jpg", "e.jpg"]})
    rows = ["a.jpg,test,leakage,0,exclude,", "b.jpg,train,blurred,9,review,", "'=c.jpg,val,blank,0,exclude,"]
    text = "\n".join(["path,split,problem,score,proposal,with", *rows])
    found = exclude_images(data, table(tmp_path, text))
    assert left(found) == {"train": ["a.jpg", "b.jpg"], "test": ["d.jpg", "e.jpg"]}
    assert found.splits["test"].labels["coarse"].tolist() == [1, 2]
    assert found.splits["test"].groups == ["g1", "g2"]
    assert found.notes == "2 images of out.csv were left out."


def test_any_table_with_a_column_of_paths_works_in_all_splits(tmp_path):
    data = source({"train": ["a.jpg", "b.jpg", "c.jpg"], "test": ["a.jpg", "d.jpg", "e.jpg"]})
    found = exclude_images(data, table(tmp_path, "filename;why\na.jpg;bad\nzzz.jpg;gone\n"))
    assert left(found) == {"train": ["b.jpg", "c.jpg"], "test": ["d.jpg", "e.jpg"]}


def test_images_without_names_have_those_of_the_prepared_dataset(tmp_path):
    found = exclude_images(source({"train": None}), table(tmp_path, "path\ntrain-000001\n"))
    assert found.splits["train"].labels["coarse"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,proposal\na.jpg,exclude\n", "no column path"),
        (
            "path\nz.jpg\n",
            "1 of 1 images are not in mine, such as z.jpg; paths must be those of the source, such as a.jpg",
        ),
        ("path\na.jpg\nb.jpg\nc.jpg\n", "no image would be left in train"),
    ],
)
def test_a_table_that_cannot_be_meant_is_an_error(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        exclude_images(source({"train": ["a.jpg", "b.jpg", "c.jpg"]}), table(tmp_path, text))


def test_a_table_without_proposals_to_exclude_changes_nothing(tmp_path):
    data = source({"train": ["a.jpg", "b.jpg", "c.jpg"]})
    assert exclude_images(data, table(tmp_path, "path,proposal\na.jpg,review\n")) is data
