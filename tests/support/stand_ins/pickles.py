"""Pickles as Python 2 wrote them."""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import pytest


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as the `str` of Python 2, as the published CIFAR files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_str2(self, text: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(text)) + text)
        self.memoize(text)

    dispatch[bytes] = save_str2


def to_python2(value: Any) -> bytes:
    """Pickled with protocol 2 as Python 2 would; bytes become its `str`."""
    out = io.BytesIO()
    _Python2Pickler(out, protocol=2).dump(value)
    return out.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


@pytest.fixture
def python2_pickle() -> Callable[[Any], bytes]:
    """Pickles as Python 2 would; bytes become its `str`."""
    return to_python2
