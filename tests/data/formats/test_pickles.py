"""Pickles of plain arrays are read as NumPy wrote them; whatever else one asks for is refused and not run."""

import builtins
import io
import operator
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coarsecon.data.formats.pickles import load_pickle
from coarsecon.errors import InputError

ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([1, 2, 3], dtype=">i4"),
    np.array([b"bytes", b"of text"]),
    np.array(["text", "é"]),
    np.array([True, False]),
    np.zeros((0, 5), np.float32),
]


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_arrays_come_back_as_they_were(array: np.ndarray, protocol: int) -> None:
    loaded = load_pickle(pickle.dumps({"data": [array]}, protocol), "file")["data"][0]
    assert loaded.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    assert loaded.shape == array.shape
    np.testing.assert_array_equal(loaded, array)


def test_containers_and_scalars_come_back_as_they_were() -> None:
    value = {"a": [1, 2.5, None, True], "b": (b"x", {"y"}), "c": np.float32(0.5), "d": np.int64(-3)}
    assert load_pickle(pickle.dumps(value, 4), "file") == value


@pytest.mark.parametrize("encoding", ["bytes", "latin1"])
def test_pickles_of_python_2_are_read(encoding: str, python2_pickle: Callable[[Any], bytes]) -> None:
    array = np.arange(200, 250, dtype=np.uint8).reshape(5, 10)
    loaded = load_pickle(python2_pickle({b"data": array, b"labels": [1, 2]}), "file", encoding=encoding)
    key = "data" if encoding == "latin1" else b"data"
    np.testing.assert_array_equal(loaded[key], array)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda canary: Call(os.system, f"touch {canary}"), "system"),
        (lambda canary: Call(eval, f"open({str(canary)!r}, 'w')"), "eval"),
        (lambda canary: Call(getattr, {}, "clear"), "getattr"),
        (lambda canary: Call(operator.attrgetter, "__class__"), "attrgetter"),
        (lambda canary: Call(np.load, str(canary)), "load"),
        (lambda canary: Call(np.fromfile, str(canary)), "fromfile"),
        (lambda canary: Call(builtins.bytearray, 10), "bytearray"),
    ],
    ids=["system", "eval", "getattr", "attrgetter", "numpy.load", "numpy.fromfile", "bytearray"],
)
def test_calls_are_refused_by_name(call: Callable[[Path], Call], named: str, protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(InputError, match=rf"train: the pickle requests .*{named}.* refused"):
        load_pickle(pickle.dumps({"data": call(canary)}, protocol), "train")
    assert not canary.exists()


def test_dotted_names_do_not_reach_into_modules() -> None:
    asks = b"\x80\x04\x8c\x05numpy\x8c\x0ecore.os.system\x93."
    with pytest.raises(InputError, match=r"numpy\.core\.os\.system"):
        load_pickle(asks, "file")


def test_the_elements_of_object_arrays_are_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    array = np.array([Call(os.system, f"touch {canary}"), None], dtype=object)
    with pytest.raises(InputError):
        load_pickle(pickle.dumps(array), "file")
    assert not canary.exists()


@pytest.mark.parametrize(
    "array",
    [
        np.array([None, {}], dtype=object),
        np.zeros(2, dtype=[("x", "i4"), ("y", "f8")]),
        np.array(["2020"], "M8[s]"),
    ],
    ids=["objects", "structured", "dates"],
)
def test_arrays_of_anything_but_numbers_and_text_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="file: not a pickle of plain arrays"):
        load_pickle(pickle.dumps(array), "file")


def test_an_array_may_not_be_built_over_too_few_bytes() -> None:
    content = pickle.dumps(np.zeros(1000, np.uint8), 2)
    lying = content.replace(b"M\xe8\x03\x85", b"J\x00\x00\x00\x7f\x85")
    assert lying != content
    with pytest.raises(InputError, match="not a pickle of plain arrays"):
        load_pickle(lying, "file")


def test_array_types_cannot_be_called() -> None:
    """`numpy.ndarray(shape, dtype, buffer)` could read memory that is not its own."""
    with pytest.raises(InputError):
        load_pickle(pickle.dumps(Call(np.ndarray, (1,), "O", b"\0" * 8)), "file")


def test_what_one_pickle_sets_is_gone_for_the_next() -> None:
    """BUILD sets attributes of whatever is on the stack, such as a function's defaults."""
    build = b"\x80\x02cnumpy\ndtype\nN}X\x0c\x00\x00\x00__defaults__(X\x02\x00\x00\x00u1K\x01K\x02ts\x86b."
    load_pickle(build, "file")
    with pytest.raises(InputError):
        load_pickle(b"\x80\x02cnumpy\ndtype\n)R.", "file")
    np.testing.assert_array_equal(load_pickle(pickle.dumps(np.arange(3)), "file"), np.arange(3))


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_truncated_pickle_says_how_much_there_is(kept: int) -> None:
    content = pickle.dumps({"data": np.zeros(100, np.uint8)}, 2)[:kept]
    with pytest.raises(InputError, match=rf"train: the pickle is truncated \(it ends after {len(content)} bytes\)"):
        load_pickle(content, "train")


@pytest.mark.parametrize("content", [b"not a pickle", b"\x80\x04]\x94(K\x01eee.", struct.pack("<I", 7) * 9])
def test_what_is_no_pickle_is_one_clear_error(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^file: .*download the file again$"):
        load_pickle(content, "file")


def test_a_huge_declared_length_is_an_error() -> None:
    stream = io.BytesIO(b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"x")
    with pytest.raises(InputError):
        load_pickle(stream.getvalue(), "file")
