"""The two forms images are written in, piece by piece: one safetensors file, or a folder of copies.

Both also give back what an earlier, interrupted run wrote, so that it need not be made again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HEADER = 4096
"""Bytes kept free for the header of a safetensors file, and the most it may take."""
FOLDER = 1000
"""Most copies in one folder."""

Labels = Mapping[str, np.ndarray]


class ArrayWriter:
    """Writes `SPLIT.safetensors` with `images` uint8 [N, 3, side, side] and one int64 column [N] per level.

    N is at most `capacity`, and known only once all images are there. The columns stand before the images,
    where every number lies on a multiple of eight bytes, so their place is kept free; the header, which may
    end in spaces, takes up what remains of it. No more than a piece is ever in memory.
    """

    files: None = None

    def __init__(self, file: Path, side: int, levels: int, capacity: int) -> None:
        self.side, self.count = side, 0
        self._start = HEADER + 8 * levels * capacity
        file.touch()
        self._file = file.open("r+b")

    def recall(self, indices: Sequence[int]) -> list[bytes]:
        """The images that stand after those written; bytes are short or none where there are not so many."""
        self._seek()
        return [self._file.read(self._bytes) for _ in indices]

    def skip(self, indices: Sequence[int]) -> None:
        """Take the images that `recall` gave as written."""
        self.count += len(indices)

    def write(self, indices: Sequence[int], contents: Sequence[bytes | np.ndarray]) -> None:
        """Add as many images as there are `indices`, uint8 [3, side, side] each, in one or more contents."""
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
        shapes["images"] = ("U8", [self.count, 3, self.side, self.side])
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
        """Close the file as it stands."""
        self._file.close()

    @property
    def _bytes(self) -> int:
        return 3 * self.side * self.side

    def _seek(self) -> None:
        self._file.seek(self._start + self.count * self._bytes)


class CopyWriter:
    """Writes copies to `images/SPLIT/` below `root`, each called by its number among the originals."""

    def __init__(self, root: Path, split: str, suffix: str) -> None:
        self.root, self.split, self.suffix = root, split, suffix
        self.files: list[str] = []

    def recall(self, indices: Sequence[int]) -> list[bytes]:
        """The copies with these numbers; no bytes for those that are not there."""
        files = [self.root / self._path(index) for index in indices]
        return [file.read_bytes() if file.is_file() else b"" for file in files]

    def skip(self, indices: Sequence[int]) -> None:
        """Take the copies that `recall` gave as written."""
        self.files += [self._path(index) for index in indices]

    def write(self, indices: Sequence[int], contents: Sequence[bytes]) -> None:
        """Add copies with these numbers."""
        for index, content in zip(indices, contents, strict=True):
            file = self.root / self._path(index)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.skip(indices)

    def finish(self, labels: Labels) -> None:
        """Write the columns to `SPLIT.safetensors`, and remove copies of an earlier run that are not wanted."""
        wanted = set(self.files)
        for file in (self.root / "images" / self.split).rglob("*"):
            if file.is_file() and file.relative_to(self.root).as_posix() not in wanted:
                file.unlink()
        save_file(dict(labels), self.root / f"{self.split}.safetensors")

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, index: int) -> str:
        return f"images/{self.split}/{index // FOLDER:04d}/{index:06d}{self.suffix}"


Writer = ArrayWriter | CopyWriter
