"""Tables of proposed clusters as the start of a review."""

import os
import random

import pytest
from fuzz.mutations import mutate

from coarsecon.errors import InputError
from coarsecon.review.proposal import places_in, read_proposal
from coarsecon.review.state import ReviewState

TABLE = """path,coarse,proposed,typicality,margin,fine,split
b.png,apple,apple-1,0.9,0.1,,train
a.png,apple,apple-1,0.8,0.1,,train
c.png,apple,apple-2,0.9,,,train
'=d.png,pear,apple-1,0.9,,,train
e.png,pear,,0.9,,,train
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "cluster.csv"
    path.write_text(TABLE)
    return path


def test_clusters_belong_to_a_coarse_class_and_keep_the_order_of_their_images(table):
    found = read_proposal(table, "anna")
    assert found.images == ["b.png", "a.png", "c.png", "=d.png"]
    assert [(each.coarse, each.label, each.images) for each in found.clusters] == [
        ("apple", "apple-1", [0, 1]), ("apple", "apple-2", [2]), ("pear", "apple-1", [3]),
    ]  # fmt: skip
    assert (found.split, found.who, found.source) == ("train", "anna", "cluster.csv")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("proposed", "other", "no column proposed"),
        ("c.png", "b.png", "line 4: b.png is listed twice"),
        ("c.png,apple,apple-2,0.9,,,train", "c.png,apple,apple-2,0.9,,,test", "images of 2 splits"),
        (TABLE.partition("\n")[2], "", "no image has a proposed label"),
    ],
)
def test_tables_that_are_no_proposal_are_refused(table, old, new, problem):
    table.write_text(TABLE.replace(old, new))
    with pytest.raises(InputError, match=problem):
        read_proposal(table, "anna")


def test_images_are_found_by_name_whatever_their_order(table):
    proposal = read_proposal(table, "anna")
    assert places_in(["=d.png", "x.png", "a.png", "b.png", "c.png"], proposal, "data") == [3, 2, 4, 0]
    for names in (["a.png", "b.png", "c.png"], ["=d.png", "a.png", "b.png", "c.png", "c.png"]):
        with pytest.raises(InputError, match=r"data: 1 of 4 images under review, such as"):
            places_in(names, proposal, "data")


def test_damaged_tables_end_in_one_error_or_a_review(table):
    messages, read = [], 0
    for seed in range(int(os.environ.get("COARSECON_FUZZ", 200))):
        table.write_text(TABLE)
        mutate(table, random.Random(seed))
        try:
            ReviewState(read_proposal(table, "anna"))
        except InputError as error:
            messages.append(str(error))
        else:
            read += 1
    assert read
    assert messages
    assert all("\n" not in message for message in messages)
