"""Toy buttons, drawn by the package: four kinds of print (coarse), each in four variants (fine), 32 px.

A button is a disc, a square or a diamond on a plain ground. Its print is stripes, checks, rings or waves, which is
all that the coarse label tells; how the print runs (two ways) and how bold it is (two widths) make the fine class.
Form, colours, place, tilt, light and noise vary from image to image and tell nothing of either.
"""

import numpy as np
from numpy.typing import NDArray

from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData

SIDE = 32
COUNTS = {"train": 4000, "test": 1000}
COARSE = ("stripes", "checks", "rings", "waves")
RUNS = (("level", "upright"), ("diagonal", "straight"), ("square", "round"), ("level", "upright"))
WIDTHS = ("bold", "fine")
FINE = [f"{width} {run} {kind}" for kind, runs in zip(COARSE, RUNS, strict=True) for run in runs for width in WIDTHS]
SUPERSAMPLING = 2

Plane = NDArray[np.float32]


def draw(fine: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images uint8 [N, 3, 32, 32] of fine classes [N], numbered as in `FINE`; all else is left to chance."""
    n = len(fine)
    side = SIDE * SUPERSAMPLING
    grid: Plane = (((np.arange(side) + 0.5) / side) * 2 - 1).astype(np.float32)
    y, x = grid[None, :, None], grid[None, None, :]
    tilt = rng.uniform(-0.2, 0.2, n)
    cos, sin = _planes(np.cos(tilt)), _planes(np.sin(tilt))
    dx, dy = x - _planes(rng.uniform(-0.1, 0.1, n)), y - _planes(rng.uniform(-0.1, 0.1, n))
    u: Plane = cos * dx + sin * dy
    v: Plane = cos * dy - sin * dx

    button = _button(u, v, rng)
    printed = _print(fine // 4, fine % 4 // 2, u, v, rng) > _planes(np.where(fine % 2, 0.75, 0.0))
    ink, paper, ground = _colour(n, 0, 0.4, rng), _colour(n, 0.6, 1, rng), _colour(n, 0.3, 0.7, rng)
    light = 1 + _planes(rng.uniform(-0.2, 0.2, n)) * x + _planes(rng.uniform(-0.2, 0.2, n)) * y
    image = np.where(button[:, None], np.where(printed[:, None], ink, paper), ground) * light[:, None]
    image = image.reshape(n, 3, SIDE, SUPERSAMPLING, SIDE, SUPERSAMPLING).mean((3, 5))
    image += rng.normal(0, 0.02, image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _planes(values: NDArray[np.floating]) -> Plane:
    return values.astype(np.float32)[:, None, None]


def _colour(n: int, low: float, high: float, rng: np.random.Generator) -> Plane:
    return rng.uniform(low, high, (n, 3, 1, 1)).astype(np.float32)


def _button(u: Plane, v: Plane, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where the button is: a disc, a square or a diamond."""
    radius = _planes(rng.uniform(0.7, 0.95, len(u)))
    disc = np.hypot(u, v) < radius
    square = np.maximum(abs(u), abs(v)) < 0.85 * radius
    diamond = abs(u) + abs(v) < 1.15 * radius
    return np.choose(rng.integers(0, 3, len(u))[:, None, None], [disc, square, diamond])


def _print(kind: NDArray[np.int64], run: NDArray[np.int64], u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """The height of the print at each point, -1 to 1 or so; ink lies where it exceeds a threshold."""
    n = len(u)
    frequency = _planes(rng.uniform(9, 13, n))
    first, second = (_planes(rng.uniform(0, 2 * np.pi, n)) for _ in range(2))
    other = run[:, None, None] == 1
    across, along = np.where(other, u, v), np.where(other, v, u)
    a, b = np.where(other, u, (u + v) * 0.707), np.where(other, v, (u - v) * 0.707)
    distance = np.where(other, np.hypot(u, v), np.maximum(abs(u), abs(v)))
    stripes = np.sin(frequency * across + first)
    checks = 1.5 * np.sin(frequency * a + first) * np.sin(frequency * b + second)
    rings = np.sin(frequency * distance + first)
    waves = np.sin(frequency * (across + 0.18 * np.sin(9 * along + second)) + first)
    return np.choose(kind[:, None, None], [stripes, checks, rings, waves])


def read(request: SourceRequest) -> SourceData:
    """Draw the set of `request.seed`: 4,000 training and 1,000 test images, the fine classes evenly mixed."""
    splits = {}
    for place, (name, count) in enumerate(COUNTS.items()):
        rng = np.random.default_rng([request.seed, place])
        fine = rng.permutation(np.arange(count) % len(FINE))
        images = np.concatenate([draw(part, rng) for part in np.array_split(fine, 8)])
        splits[name] = SplitData(labels={"coarse": fine // 4, "fine": fine}, images=images)
    return SourceData(name="toy", size=SIDE, levels={"coarse": list(COARSE), "fine": FINE}, splits=splits)


SOURCE = Source(
    name="toy",
    about=f"{__doc__.strip()}\n\n4,000 training and 1,000 test images; `--seed` draws another set. Free of any terms.",
    counts=COUNTS,
    default_size=SIDE,
    read=read,
)
