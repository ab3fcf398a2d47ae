"""`torch.export`: pixels to embedding as a .pt2 file that needs only torch, from Python or C++."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from coarsecon.exporters.base import Exporter, ExporterConfig
from coarsecon.exporters.comparison import COMPARED_BATCH_SIZES, compare, encoder_of, random_images, write_card
from coarsecon.exporters.graph import EmbeddingGraph, untraceable

if TYPE_CHECKING:
    from coarsecon.run.facade import Run

TOLERANCE = 1e-5


class TorchExport(Exporter):
    """Pixels to embedding in one .pt2 file for `torch.export.load`."""

    def export(self, run: "Run", folder: Path, config: ExporterConfig) -> list[str]:
        """Write `encoder.pt2`, with the input transform among its extra files."""
        encoder, file = encoder_of(run), folder / "encoder.pt2"
        example, batch = random_images(encoder, max(COMPARED_BATCH_SIZES)), torch.export.Dim("batch", min=1)
        with torch.no_grad(), untraceable(encoder.card.backbone.name):
            program = torch.export.export(EmbeddingGraph(encoder), (example,), dynamic_shapes=({0: batch},))
        transform = json.dumps(encoder.card.input.model_dump(mode="json"))
        torch.export.save(program, file, extra_files={"input.json": transform})
        write_card(encoder, folder)
        equal = compare(encoder, "the exported program", torch.export.load(file).module(), TOLERANCE)
        image = encoder.card.input
        return [
            f"torch.export.load('encoder.pt2').module() takes uint8 [N, 3, {image.size}, {image.size}] in RGB "
            f"({image.framing}), and returns {equal}"
        ]
