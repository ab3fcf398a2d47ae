"""Read untrusted pickle files without running code: only arrays and plain containers."""

import io
import mmap
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from coarsecon.data.formats.images import Stored
from coarsecon.errors import InputError


def load_pickle(content: bytes, name: str, *, encoding: str = "bytes") -> Any:
    """Return the object pickled in `content`: containers, numbers, text, and NumPy arrays of numbers or text.

    Args:
        content: The pickle.
        name: Name of the file in errors.
        encoding: Encoding of text pickled by Python 2, as in `pickle.load`.

    Raises:
        InputError: The pickle names anything else (which is neither imported nor called), or is broken.
    """
    try:
        return _Unpickler(content, name, encoding).load()
    except InputError:
        raise
    except Exception as error:  # a broken pickle raises various errors
        if isinstance(error, EOFError) or "truncated" in str(error):
            problem = f"the pickle is truncated (it ends after {len(content)} bytes)"
        else:
            problem = f"not a pickle of plain arrays ({type(error).__name__}: {error})"
        raise InputError(name, problem, "download the file again") from error


def load_dict(content: bytes, name: str) -> dict[str, Any]:
    """Return the dictionary pickled in `content`, with text keys; raises like `load_pickle`, or if it is not one."""
    loaded = load_pickle(content, name)
    if not isinstance(loaded, dict):
        raise InputError(name, "the pickle does not hold a dictionary", "download the file again")
    return {as_text(key): value for key, value in loaded.items()}


def read_dict(file: Path, *, max_bytes: int) -> dict[str, Any]:
    """Return the dictionary pickled in a file; raises like `load_dict`, or if the file is missing or larger."""
    try:
        if file.stat().st_size > max_bytes:
            raise InputError(file, "larger than any original file", "download it again")
        return load_dict(file.read_bytes(), str(file))
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "download it again") from error


def as_text(value: Any) -> str:
    """Return text pickled by Python 2 (bytes) or 3."""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def as_array(value: Any) -> np.ndarray:
    """Return a list or array as an array; an empty array of objects if it is neither, or ragged."""
    try:
        return np.asarray(value if isinstance(value, list | np.ndarray) else np.empty(0, object))
    except (ValueError, OverflowError):
        return np.empty(0, object)


def stored_strings(file: Path, prefix: bytes) -> Iterator[Stored | bytes]:
    """Find the byte strings in a pickle that begin with `prefix`, by their place in the file.

    The pickle is parsed but not loaded, so that its size does not matter. Strings that Python 3 wrote in a protocol of
    Python 2 are encoded in the file, and are returned as bytes.

    Raises:
        InputError: The file is missing, or not a complete pickle.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for code, value, place in pickletools.genops(content):  # type: ignore[arg-type]
                if isinstance(value, str) and value.startswith(prefix.decode("latin1")):
                    value = value.encode("latin1")
                    if "UNICODE" in code.name:
                        yield value
                        continue
                if isinstance(value, bytes | bytearray) and value.startswith(prefix):
                    yield Stored(file, content.tell() - len(value), len(value), f"byte {place:,}")
    except InputError:
        raise
    except Exception as error:  # a broken pickle raises various errors
        raise InputError(file, f"not a complete pickle ({error})", "download the file again") from error


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
                self.name,
                f"the pickle requests {module}.{name}, which is refused: only NumPy arrays and plain "
                "containers are read",
                "download the file from its original source",
            ) from None


class _Dtype:
    """A dtype in a pickle; replaces the `dtype.__setstate__` of NumPy, which trusts its input."""

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
    """Return the replacements of the allowed names: no classes, and new functions, as a pickle may set attributes."""

    def dtype(code: str, align: object = False, copy: object = False) -> _Dtype:
        return _Dtype(code)

    def reconstruct(*_: object) -> np.ndarray:
        return np.empty(0, np.uint8).view(_Array)

    def scalar(dtype: _Dtype, raw: bytes | str) -> Any:
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(raw, dtype.resolve(), count=1)[0]

    def from_buffer(raw: bytes | bytearray, dtype: _Dtype, shape: Any, order: Any) -> np.ndarray:
        # bytes(): the memory of an array could be replaced while this view of it exists
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
