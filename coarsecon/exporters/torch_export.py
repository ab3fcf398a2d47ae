"""`torch.export`: pixels to embedding as a .pt2 file that torch alone runs, from Python or C++."""

import json
from pathlib import Path

import torch

from coarsecon.exporters.graph import EmbeddingGraph, untraceable
from coarsecon.exporters.subject import BATCHES, Subject

TOLERANCE = 1e-5


def write(subject: Subject, folder: Path) -> list[str]:
    """`encoder.pt2`, with the input transform among its extra files. Returns what to know of it."""
    file = folder / "encoder.pt2"
    example, batch = subject.images(max(BATCHES)), torch.export.Dim("batch", min=1)
    with torch.no_grad(), untraceable(subject.card.backbone.name):
        program = torch.export.export(EmbeddingGraph(subject.encoder), (example,), dynamic_shapes=({0: batch},))
    recipe = json.dumps(subject.card.input.model_dump(mode="json"))
    torch.export.save(program, file, extra_files={"input.json": recipe})
    subject.write_card(folder)
    equal = subject.compare("the exported program", torch.export.load(file).module(), TOLERANCE)
    size = subject.card.input.size
    return [
        f"torch.export.load('encoder.pt2').module() takes uint8 [N, 3, {size}, {size}] in RGB, resized by "
        f"antialiased bilinear, and gives {equal}"
    ]
