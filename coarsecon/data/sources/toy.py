"""Toy buttons, drawn by the package: four kinds of print (coarse), each in four variants (fine), 32 px.

A button is a disc, a square or a diamond on a plain background. The coarse class is its print: level stripes, upright
stripes, checks or rings. The fine class adds the width of the print and whether the button has a rim. Shape, colors,
position, tilt, light and noise vary from image to image, independently of both labels.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData

SIZE = 32
COARSE = ("level stripes", "upright stripes", "checks", "rings")
FINE = [f"{width} {kind}, {rim}" for kind in COARSE for rim in ("plain", "rimmed") for width in ("broad", "narrow")]
SUPERSAMPLING = 2

Plane = NDArray[np.float32]


def draw(fine: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw images uint8 [N, 3, 32, 32] of fine classes [N], numbered as in `FINE`; everything else is random."""
    n = len(fine)
    size = SIZE * SUPERSAMPLING
    grid: Plane = (((np.arange(size) + 0.5) / size) * 2 - 1).astype(np.float32)
    y, x = grid[None, :, None], grid[None, None, :]
    tilt = rng.uniform(-0.3, 0.3, n)
    cos, sin = _planes(np.cos(tilt)), _planes(np.sin(tilt))
    dx, dy = x - _planes(rng.uniform(-0.1, 0.1, n)), y - _planes(rng.uniform(-0.1, 0.1, n))
    u: Plane = cos * dx + sin * dy
    v: Plane = cos * dy - sin * dx

    depth = _depth(u, v, rng)
    is_rim = (depth > 0.8) & (fine % 4 // 2 == 1)[:, None, None]
    is_ink = is_rim | (_print(fine // 4, u, v, rng) > _planes(np.where(fine % 2, 0.75, 0.0)))
    ink, paper, ground = _tinted(n, 0.05, 0.22, rng), _tinted(n, 0.74, 0.95, rng), _tinted(n, 0.39, 0.61, rng)
    light = 1 + _planes(rng.uniform(-0.2, 0.2, n)) * x + _planes(rng.uniform(-0.2, 0.2, n)) * y
    image = np.where((depth < 1)[:, None], np.where(is_ink[:, None], ink, paper), ground) * light[:, None]
    image = image.reshape(n, 3, SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING).mean((3, 5))
    image += rng.normal(0, 0.02, image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _planes(values: NDArray[np.floating]) -> Plane:
    return values.astype(np.float32)[:, None, None]


def _tinted(n: int, low: float, high: float, rng: np.random.Generator) -> Plane:
    """Return a gray between `low` and `high` with a tint, [N, 3, 1, 1]."""
    return (rng.uniform(low, high, (n, 1, 1, 1)) + rng.uniform(-0.08, 0.08, (n, 3, 1, 1))).astype(np.float32)


def _depth(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """Return the distance of each point from the center of a disc, a square or a diamond: 1 is its edge."""
    radius = _planes(rng.uniform(0.7, 0.95, len(u)))
    forms = [np.hypot(u, v), np.maximum(abs(u), abs(v)) / 0.85, (abs(u) + abs(v)) / 1.15]
    form = np.choose(rng.integers(0, 3, len(u))[:, None, None], forms)
    return form.astype(np.float32) / radius


def _print(kind: NDArray[np.int64], u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """Return the height of the print at each point, about -1 to 1; ink is where it exceeds a threshold."""
    n = len(u)
    frequency = _planes(rng.uniform(9, 13, n))
    first, second = (_planes(rng.uniform(0, 2 * np.pi, n)) for _ in range(2))
    level, upright = np.sin(frequency * v + first), np.sin(frequency * u + first)
    checks = 1.5 * upright * np.sin(frequency * v + second)
    rings = np.sin(frequency * np.hypot(u, v) + first)
    height: Plane = np.choose(kind[:, None, None], [level, upright, checks, rings])
    return height


class ToyConfig(SourceConfig):
    """Options of the source `toy`."""

    seed: int = Field(0, ge=0, description="Random seed of the images.")


class Toy(Source):
    """Draw the toy images."""

    Config = ToyConfig

    name = "toy"
    about = __doc__.strip()
    counts = {"train": 4000, "test": 1000}
    default_size = SIZE
    levels = {"coarse": len(COARSE), "fine": len(FINE)}
    terms = "Free of any terms."
    disk = "15 MB prepared"

    def read(self, request: SourceRequest, config: ToyConfig) -> SourceData:
        """Return 4,000 training and 1,000 test images with balanced fine classes."""
        splits = {}
        for place, (name, count) in enumerate(self.counts.items()):
            rng = np.random.default_rng([config.seed, place])
            fine = rng.permutation(np.arange(count) % len(FINE))
            images = np.concatenate([draw(part, rng) for part in np.array_split(fine, 8)])
            splits[name] = SplitData(labels={"coarse": fine // 4, "fine": fine}, images=images)
        return SourceData(name="toy", size=SIZE, levels={"coarse": list(COARSE), "fine": FINE}, splits=splits)


SOURCE = Toy()
