"""Write images piece by piece in either form: one safetensors file, or a folder of copies.

Both can read back the images of an earlier, interrupted run.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HEADER_BYTES = 4096
"""Bytes reserved for the header of a safetensors file."""
MAX_FILES_PER_FOLDER = 1000
"""Maximum number of copies in one folder."""

Labels = Mapping[str, np.ndarray]


class ArrayWriter:
    """Writes `SPLIT.safetensors` with `images` uint8 [N, 3, image_size, image_size] and one int64 column [N] per level.

    N is at most `capacity`, and unknown until all images are written. The columns precede the images, so that each
    number is aligned to eight bytes; their space is reserved, and the header, padded with spaces, fills what remains
    of it. Only one piece is in memory at a time.
    """

    files: None = None

    def __init__(self, file: Path, image_size: int, levels: int, capacity: int) -> None:
        self.image_size, self.count = image_size, 0
        self._start = HEADER_BYTES + 8 * levels * capacity
        file.touch()
        self._file = file.open("r+b")

    def recall(self, indices: Sequence[int]) -> list[bytes]:
        """Read the images after those already written; the bytes of missing ones are short or empty."""
        self._seek()
        return [self._file.read(self._bytes) for _ in indices]

    def skip(self, indices: Sequence[int]) -> None:
        """Count the images that `recall` returned as written."""
        self.count += len(indices)

    def write(self, indices: Sequence[int], contents: Sequence[bytes | np.ndarray]) -> None:
        """Append one image per index, uint8 [3, image_size, image_size] each, in one or more contents."""
        self._seek()
        for content in contents:
            self._file.write(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
        self._file.flush()
        self.count += len(indices)

    def finish(self, labels: Labels) -> None:
        """Write the header and the columns, and close the file."""
        self._seek()
        self._file.truncate()
        shapes = {level: ("I64", [self.count]) for level in labels}
        shapes["images"] = ("U8", [self.count, 3, self.image_size, self.image_size])
        header, end = {}, 0
        for name, (dtype, shape) in shapes.items():
            start, end = end, end + int(np.prod(shape)) * (8 if dtype == "I64" else 1)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        length = self._start - 8 * self.count * len(labels) - 8
        self._file.seek(0)
        self._file.write(length.to_bytes(8, "little"))
        self._file.write(json.dumps(header).encode().ljust(length))
        for column in labels.values():
            self._file.write(column.data)
        self._file.close()

    def close(self) -> None:
        """Close the file without finishing it."""
        self._file.close()

    @property
    def _bytes(self) -> int:
        return 3 * self.image_size * self.image_size

    def _seek(self) -> None:
        self._file.seek(self._start + self.count * self._bytes)


class CopyWriter:
    """Writes copies to `images/SPLIT/` below `root`, named by their index among the originals."""

    def __init__(self, root: Path, split: str, suffix: str) -> None:
        self.root, self.split, self.suffix = root, split, suffix
        self.files: list[str] = []

    def recall(self, indices: Sequence[int]) -> list[bytes]:
        """Read the copies with these indices; no bytes for missing ones."""
        files = [self.root / self._path(index) for index in indices]
        return [file.read_bytes() if file.is_file() else b"" for file in files]

    def skip(self, indices: Sequence[int]) -> None:
        """Count the copies that `recall` returned as written."""
        self.files += [self._path(index) for index in indices]

    def write(self, indices: Sequence[int], contents: Sequence[bytes]) -> None:
        """Write copies with these indices."""
        for index, content in zip(indices, contents, strict=True):
            file = self.root / self._path(index)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.skip(indices)

    def finish(self, labels: Labels) -> None:
        """Write the columns to `SPLIT.safetensors`, and remove other copies of an earlier run."""
        wanted = set(self.files)
        for file in (self.root / "images" / self.split).rglob("*"):
            if file.is_file() and file.relative_to(self.root).as_posix() not in wanted:
                file.unlink()
        save_file(dict(labels), self.root / f"{self.split}.safetensors")

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _path(self, index: int) -> str:
        return f"images/{self.split}/{index // MAX_FILES_PER_FOLDER:04d}/{index:06d}{self.suffix}"


Writer = ArrayWriter | CopyWriter
