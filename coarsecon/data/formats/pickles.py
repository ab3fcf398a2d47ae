"""Pickle files from strangers, read without running what they ask for: arrays and plain containers only."""

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
        raise InputError(name, problem, "fetch the file again") from error


def load_dict(content: bytes, name: str) -> dict[str, Any]:
    """The dictionary pickled in `content`, its keys as text; raises as `load_pickle`, and where it is none."""
    loaded = load_pickle(content, name)
    if not isinstance(loaded, dict):
        raise InputError(name, "the pickle holds no dictionary", "fetch the file again")
    return {as_text(key): value for key, value in loaded.items()}


def read_dict(file: Path, *, max_bytes: int) -> dict[str, Any]:
    """The dictionary pickled in a file; raises as `load_dict`, and where the file is missing or larger."""
    try:
        if file.stat().st_size > max_bytes:
            raise InputError(file, "larger than any original file", "fetch it again")
        return load_dict(file.read_bytes(), str(file))
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "fetch it again") from error


def as_text(value: Any) -> str:
    """Text as pickled by Python 2 (bytes) or 3."""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def as_array(value: Any) -> np.ndarray:
    """A list or array as an array; one of objects [0] where it is neither, or ragged."""
    try:
        return np.asarray(value if isinstance(value, list | np.ndarray) else np.empty(0, object))
    except (ValueError, OverflowError):
        return np.empty(0, object)


def stored_strings(file: Path, prefix: bytes) -> Iterator[Stored | bytes]:
    """The byte strings in a pickle that begin with `prefix`, by where they lie in the file, in its order.

    The pickle is only parsed and nothing of it built, so that one of any size takes no memory. Strings that
    Python 3 wrote in a protocol of Python 2 do not lie in the file as they are, and come as bytes.

    Raises:
        InputError: the file is missing, or no whole pickle.
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
    except Exception as error:  # a broken pickle can raise anything
        raise InputError(file, f"not a whole pickle ({error})", "fetch the file again") from error


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
                f"the pickle asks for {module}.{name}, which is refused: only NumPy arrays and plain "
                "containers are read",
                "fetch the file from its original place",
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
