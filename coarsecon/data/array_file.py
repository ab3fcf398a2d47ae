"""Images of one size into a safetensors file, a piece at a time: no more than a piece is ever in memory."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

HEADER = 4096
"""Bytes kept free for the header, and the most it may take: names and shapes of a few tensors."""


class ArrayWriter:
    """Writes `SPLIT.safetensors` with `images` uint8 [N, 3, side, side] and `levels` int64 columns [N].

    N is at most `capacity`, and known only once all images are there. The columns stand before the images,
    where every number lies on a multiple of eight bytes, so their place is kept free, and the header, which may
    end in spaces, takes up what remains of it.
    """

    def __init__(self, file: Path, side: int, levels: int, capacity: int) -> None:
        self.side, self.count = side, 0
        self._start = HEADER + 8 * levels * capacity
        self._out = file.open("wb")
        self._out.seek(self._start)

    def append(self, images: np.ndarray) -> None:
        """Add uint8 [n, 3, side, side]."""
        self._out.write(np.ascontiguousarray(images).data)
        self.count += len(images)

    def finish(self, labels: Mapping[str, np.ndarray]) -> None:
        """Write the columns, int64 [N] each, and close the file."""
        shapes = {level: ("I64", [self.count]) for level in labels}
        shapes["images"] = ("U8", [self.count, 3, self.side, self.side])
        header, end = {}, 0
        for name, (dtype, shape) in shapes.items():
            start, end = end, end + int(np.prod(shape)) * (8 if dtype == "I64" else 1)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        length = self._start - 8 * self.count * len(labels) - 8
        self._out.seek(0)
        self._out.write(length.to_bytes(8, "little"))
        self._out.write(json.dumps(header).encode().ljust(length))
        for column in labels.values():
            self._out.write(np.ascontiguousarray(column, np.int64).data)
        self._out.close()

    def close(self) -> None:
        """Close the file as it stands."""
        self._out.close()
