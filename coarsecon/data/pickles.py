"""Pickle files from strangers, read without running what they ask for: arrays and plain containers only."""

import io
import pickle
from typing import Any

import numpy as np

from coarsecon.errors import InputError


def load_pickle(content: bytes, name: str, *, encoding: str = "bytes") -> Any:
    """The object pickled in `content`: containers, numbers, text, and NumPy arrays of numbers or text.

    `encoding` says how text pickled by Python 2 is read, as in `pickle.load`; `name` is the file's in errors.

    Raises:
        InputError: the pickle names anything else (which is neither imported nor called), or is broken.
    """
    try:
        return _Unpickler(content, name, encoding).load()
    except InputError:
        raise
    except Exception as error:  # a broken pickle can raise anything
        if isinstance(error, EOFError) or "truncated" in str(error):
            problem = f"the pickle is truncated (it ends after {len(content)} bytes)"
        else:
            problem = f"not a pickle of plain arrays ({type(error).__name__}: {error})"
        raise InputError(f"{name}: {problem}; fetch the file again") from error


class _Unpickler(pickle.Unpickler):
    """Resolves the few names that plain NumPy pickles use to the stand-ins below, and refuses all others."""

    def __init__(self, content: bytes, name: str, encoding: str) -> None:
        super().__init__(io.BytesIO(content), encoding=encoding)
        self.name = name
        self.globals = _globals()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.globals[module.replace("numpy._core", "numpy.core"), name]
        except KeyError:
            raise InputError(
                f"{self.name}: the pickle asks for {module}.{name}, which is refused: "
                "only NumPy arrays and plain containers are read; fetch the file from its original place"
            ) from None


class _Dtype:
    """What a pickle says of a dtype; kept from NumPy's own `dtype.__setstate__`, which trusts its input."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.order, *structure = state[:5]
        if structure != [None, None, None]:
            raise ValueError("structured arrays are not read")

    def resolve(self) -> np.dtype:
        dtype = np.dtype(self.code)
        if dtype.kind not in "biufSU":
            raise ValueError(f"arrays of {dtype} are not read")
        return dtype.newbyteorder(self.order)  # type: ignore[arg-type]


class _Array(np.ndarray):
    """An array being built by `_reconstruct`: it takes its state only with a checked dtype."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, dtype, fortran, raw = state
        super().__setstate__((version, shape, dtype.resolve(), fortran, raw))


def _globals() -> dict[tuple[str, str], Any]:
    """What each name a pickle may use becomes: no class, and fresh functions, as it may set attributes."""

    def dtype(code: str, align: object = False, copy: object = False) -> _Dtype:
        return _Dtype(code)

    def reconstruct(*_: object) -> np.ndarray:
        return np.empty(0, np.uint8).view(_Array)

    def scalar(dtype: _Dtype, raw: bytes | str) -> Any:
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(raw, dtype.resolve(), count=1)[0]

    def from_buffer(raw: bytes | bytearray, dtype: _Dtype, shape: Any, order: Any) -> np.ndarray:
        # bytes(): an array in their place could be given other memory while this one still looks at it
        return np.frombuffer(bytes(raw), dtype.resolve()).reshape(shape, order=order)

    def encode(text: str, encoding: str) -> bytes:
        if encoding != "latin1":  # so Python 3 writes bytes in the protocols of Python 2
            raise ValueError(f"text encoded as {encoding} is not read")
        return text.encode("latin1")

    def no_bytes() -> bytes:
        return b""

    return {
        ("numpy", "ndarray"): "numpy.ndarray",  # only ever handed to _reconstruct
        ("numpy", "dtype"): dtype,
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy.core.multiarray", "scalar"): scalar,
        ("numpy.core.numeric", "_frombuffer"): from_buffer,
        ("_codecs", "encode"): encode,
        ("__builtin__", "bytes"): no_bytes,
    }
