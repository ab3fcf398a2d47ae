"""Finish the pictures of the documentation: `python docs/pictures.py RUNS OUT` (see `make pictures`).

Plots the curves of the runs in RUNS, and reduces the PNG files in OUT to a palette to keep the repository small.
"""

import re
import sys
from pathlib import Path

from PIL import Image

from coarsecon.report.chart import HEIGHT, WIDTH, Line, line_chart, swatch
from coarsecon.report.curves import steps_per_epoch
from coarsecon.run.folder import open_run

RUNS = {
    "maskcon": "MaskCon", "moco": "MoCo", "supce": "cross-entropy on coarse labels",
    "too-fast": "MaskCon, learning rate 5",
}  # fmt: skip
STYLE = """svg{font:11px sans-serif;background:#fff}.grid{stroke:#e3e3e3}.axis{stroke:#888}text{fill:#444}
.y{text-anchor:end}.x,.title{text-anchor:middle}"""
COLORS = 128
MAX_HEIGHT = 1256
"""Pixels to keep from the top of a picture: six rows of a gallery."""


def curve(runs: Path, key: str, title: str, *, percent: bool) -> str:
    """Plot one metric of the logs with its legend."""
    lines = []
    for series, name in enumerate(RUNS):
        rows = [row for row in open_run(runs / name).metrics() if "step" in row]
        per_epoch = steps_per_epoch(rows)
        lines.append(Line(series, [(row["step"] / per_epoch, row[key]) for row in rows if key in row]))
    drawn = line_chart(title, lines, len(RUNS), x_title="epochs", percent=percent)
    inner = re.search(r"<svg[^>]*>(.*)</svg>", drawn, re.DOTALL)
    assert inner
    legend = []
    for series, label in enumerate(RUNS.values()):
        stroke = re.search(r"<path[^>]*>", swatch(series, len(RUNS)))
        assert stroke
        x, y = 20 + 220 * (series % 2), HEIGHT + 22 + 18 * (series // 2)
        legend.append(f'<g transform="translate({x} {y - 9})">{stroke[0]}</g><text x="{x + 34}" y="{y}">{label}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -22 {WIDTH} {HEIGHT + 76}" width="{WIDTH}">'
        f'<style>{STYLE}</style><rect y="-22" width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="-6" font-weight="bold">{title}</text>{inner[1]}{"".join(legend)}</svg>\n'
    )


def main(runs: Path, out: Path) -> None:
    """Write the curves and shrink the PNG files."""
    (out / "loss.svg").write_text(curve(runs, "loss", "Loss", percent=False))
    (out / "recall.svg").write_text(curve(runs, "fine_recall@1", "Fine Recall@1 during training", percent=True))
    for path in out.glob("*.png"):
        picture = Image.open(path).convert("RGB")
        picture = picture.crop((0, 0, picture.width, min(picture.height, MAX_HEIGHT)))
        picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
