"""The names that fine classes are written with: always clear, and read back to the class."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coarsecon.data.prepared.classes import ClassKey, matching
from coarsecon.data.prepared.fine_names import name_within, written_names


@pytest.mark.parametrize(
    ("classes", "written"),
    [
        ([("x", "y"), ("z", "v")], ["y", "v"]),
        ([("x", "y"), ("z", "y")], ["x/y", "z/y"]),
        ([("w", "x/y"), ("x", "y"), ("z", "y")], ["w/x/y", "x/y", "z/y"]),
        ([("w", "x/y"), ("x", "y")], ["x/y", "y"]),
        ([("x", "x/y"), ("x", "y"), ("z", "y")], ["x/x/y", "x/y", "z/y"]),
        ([("", "y"), ("", "/y")], ["y", "//y"]),
    ],
)
def test_a_name_that_is_not_clear_is_written_with_its_coarse_class(classes, written):
    assert written_names(classes) == written


names = st.text(alphabet="xy/", min_size=1, max_size=5)


@given(classes=st.lists(st.tuples(st.text(alphabet="xyz", min_size=1, max_size=2), names), unique=True, max_size=8))
def test_written_names_differ_and_are_read_back(classes):
    written = written_names(classes)
    assert len(set(written)) == len(classes)
    assert [name_within(text, coarse) for text, (coarse, _) in zip(written, classes, strict=True)] == [
        name for _, name in classes
    ]


def test_classes_match_by_coarse_class_and_name_or_as_written_where_it_is_unknown():
    known = [ClassKey("x/y", "x", "y"), ClassKey("z/y", "z", "y"), ClassKey("v", "z", "v")]
    assert matching([ClassKey("y", "z", "y"), ClassKey("v", "x", "v")], known) == [1, -1]
    assert matching([ClassKey("x/y", None, "x/y"), ClassKey("y", None, "y")], known) == [0, -1]
    assert matching(known, [ClassKey("v", None, "v"), ClassKey("y", None, "y")]) == [-1, -1, 0]
    assert matching([ClassKey("a", None, "a")], [ClassKey("a", None, "a")] * 2) == [-1]
