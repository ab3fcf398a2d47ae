"""ONNX: pixels to embedding in one graph, for any batch size, compared in onnxruntime before it is kept."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coarsecon.exporters.base import Exporter, ExporterConfig
from coarsecon.exporters.comparison import COMPARED_BATCH_SIZES, compare, encoder_of, random_images, write_card
from coarsecon.exporters.graph import EmbeddingGraph, untraceable
from coarsecon.runtime.extras import require_extra

if TYPE_CHECKING:
    from coarsecon.run.facade import Run

TOLERANCE = 1e-4


class ONNX(Exporter):
    """Pixels to embedding in one ONNX file; needs the extra `onnx`."""

    def export(self, run: "Run", folder: Path, config: ExporterConfig) -> list[str]:
        """Write `encoder.onnx`, with the input transform in its metadata."""
        require_extra("onnx", "onnx", "onnxscript", "onnxruntime", needed_by="the ONNX format")
        import onnx
        import onnxruntime

        encoder, file = encoder_of(run), folder / "encoder.onnx"
        batch = torch.export.Dim("batch", min=1)
        with _quiet(), untraceable(encoder.card.backbone.name):
            torch.onnx.export(
                EmbeddingGraph(encoder), (random_images(encoder, max(COMPARED_BATCH_SIZES)),), str(file), dynamo=True,
                verbose=False, input_names=["images"], output_names=["embedding"],
                dynamic_shapes={"images": {0: batch}}, external_data=False,
            )  # fmt: skip
        model = onnx.load(file)
        onnx.helper.set_model_props(model, {"coarsecon.input": json.dumps(encoder.card.input.model_dump(mode="json"))})
        onnx.checker.check_model(model)
        onnx.save(model, file)
        write_card(encoder, folder)

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

        def embed(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(["embedding"], {"images": images.numpy()})[0])

        equal = compare(encoder, "onnxruntime", embed, TOLERANCE)
        image = encoder.card.input
        return [
            f"input: uint8 [N, 3, {image.size}, {image.size}] in RGB, {image.framing}; the graph does the rest",
            f"onnxruntime returns {equal}",
        ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which prints its progress to stdout."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
