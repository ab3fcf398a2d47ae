"""MATLAB files are read as SciPy reads them, and broken or hostile ones are refused whatever they hold."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from coarsecon.data.formats.mat import integers, load_mat
from coarsecon.errors import InputError

CELLS = np.array([["AM General Hummer", "Größe", ""]], object)
PEOPLE = np.array([[(1, "a"), (300, "bc")]], [("class", object), ("fname", object)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.mat"


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind: int, shape: tuple[int, ...], *parts: bytes, order: str = "<", name: bytes = b"x") -> bytes:
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    dimensions = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, flags + dimensions + element(1, name, order) + b"".join(parts), order)


def header(order: bytes = b"IM") -> bytes:
    return b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x01" + order


@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_text_cells_and_structs(file: Path, compressed: bool) -> None:
    numbers = {kind: np.array([[1, 2, 3], [4, 5, 6]], kind) for kind in ("u1", "u2", "i4", "i8", "f4", "f8")}
    savemat(file, {**numbers, "cells": CELLS, "people": PEOPLE, "text": "one line"}, do_compression=compressed)
    for kind, expected in numbers.items():
        assert load_mat(file, kind)[0].tolist() == expected.ravel(order="F").tolist()
    cells, people, text = load_mat(file, "cells", "people", "text", fields=["class", "fname"])
    assert (cells, text) == (["AM General Hummer", "Größe", ""], "one line")
    assert people["fname"] == ["a", "bc"]
    assert load_mat(file, "people", fields=["fname"])[0] == {"fname": ["a", "bc"]}
    assert integers(people["class"], "class").tolist() == [1, 300]


@pytest.mark.parametrize(("name", "variable"), [("cars_meta", "class_names"), ("cars_train_annos", "annotations")])
def test_the_devkit_is_read_as_scipy_reads_it(shared: Path, name: str, variable: str) -> None:
    file = shared / "labels" / "cars196" / f"{name}.mat"
    expected = loadmat(file, squeeze_me=True)[variable]
    (found,) = load_mat(file, variable, fields=["class", "fname"])
    if isinstance(found, list):
        assert found == expected.tolist()
    else:
        assert found["fname"] == expected["fname"].tolist()
        assert integers(found["class"], "class").tolist() == expected["class"].tolist()


def test_files_of_the_other_byte_order_are_read(file: Path) -> None:
    content = header(b"MI") + array(11, (1, 2), element(4, struct.pack(">2H", 7, 500), ">"), order=">")
    file.write_bytes(content)
    assert load_mat(file, "x")[0].tolist() == [7, 500]


def test_small_elements_keep_their_data_in_the_tag(file: Path) -> None:
    file.write_bytes(header() + array(9, (1, 3), struct.pack("<HH", 2, 3) + b"\x01\x02\x03\x00"))
    assert load_mat(file, "x")[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it begins differently"),
        (b"<html>not found</html>" * 20, "it begins differently"),
        (b"MATLAB 7.3 MAT-file".ljust(126) + b"IM", "it begins differently"),
        (header(), "no variable x"),
        (header() + array(9, (1, 1), element(2, b"1"), name=b"y"), "no variable x"),
        (header() + array(9, (1, 3), element(2, b"12")), "2 values in an array of 3"),
        (header() + array(9, (1, 3)), "truncated"),
        (header() + array(9, (1, 3), element(2, b"123"))[:-12], "exceeds its parent"),
        (header() + array(1, (2**31 - 1, 2**31 - 1)), "truncated"),
        (header() + array(2, (1, 1), element(5, struct.pack("<i", -1)), element(1, b"a")), "without a name"),
        (header() + array(3, (1, 1), element(2, b"1")), "class 3 are not read"),
        (header() + array(9, (1, 1), element(99, b"1")), "type 99 are not read"),
        (header() + array(4, (1, 1), element(16, b"\xff")), "decode"),
        (header() + element(15, b"no zlib stream"), "incorrect header"),
        (header() + element(15, zlib.compress(bytes(1000))[:-4]), "truncated"),
    ],
)
def test_what_is_wrong_is_told(file: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"{file}: .*{problem}.*; download the file again"):
        load_mat(file, "x")


def test_cells_in_cells_without_end_are_refused(file: Path) -> None:
    content = array(9, (1, 1), element(2, b"1"))
    for _ in range(2000):
        content = array(1, (1, 1), content)
    file.write_bytes(header() + content)
    with pytest.raises(InputError, match="too deep"):
        load_mat(file, "x")


def test_large_files_and_variables_are_not_read(file: Path) -> None:
    file.write_bytes(header() + element(15, zlib.compress(bytes(2000))))
    with pytest.raises(InputError, match="truncated or too large"):
        load_mat(file, "x", max_bytes=1000)
    file.write_bytes(bytes(1001))
    with pytest.raises(InputError, match="larger than any label file"):
        load_mat(file, "x", max_bytes=1000)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(InputError, match=f"^{file}: cannot be read"):
        load_mat(file, "x")


NOT_WHOLE = [
    *(None, "text", ["1"], [[1], 2], [np.array([1, 2])], [np.array([])]),
    *map(np.array, ([0.5], [np.nan], [1e300])),
]


@pytest.mark.parametrize("values", NOT_WHOLE)
def test_other_things_than_integers_are_refused(values: object) -> None:
    with pytest.raises(InputError, match="class: not all are integers"):
        integers(values, "class")


def test_changed_bytes_never_end_in_anything_but_an_input_error(file: Path) -> None:
    rng = random.Random(0)
    savemat(file, {"cells": CELLS, "people": PEOPLE})
    whole = file.read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4])):
            content[rng.randrange(len(content))] = rng.choice([0, 1, 255, rng.randrange(256)])
        file.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)
        try:
            load_mat(file, "cells", "people", fields=["class", "fname"])
        except InputError:
            continue
