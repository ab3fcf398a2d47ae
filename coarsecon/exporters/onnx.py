"""ONNX: pixels to embedding in one graph, for any batch, compared in onnxruntime before it is put in place."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from coarsecon.exporters.graph import EmbeddingGraph, untraceable
from coarsecon.exporters.subject import BATCHES, Subject
from coarsecon.runtime.extras import require_extra

TOLERANCE = 1e-4


def write(subject: Subject, folder: Path) -> list[str]:
    """`encoder.onnx`, with the input transform in its metadata. Returns what to know of it.

    Raises:
        InputError: a package of the extra `onnx` is missing.
        CoarseconError: onnxruntime gives other embeddings.
    """
    require_extra("onnx", "onnx", "onnxscript", "onnxruntime", needed_by="the ONNX format")
    import onnx
    import onnxruntime

    file = folder / "encoder.onnx"
    batch = torch.export.Dim("batch", min=1)
    with _quiet(), untraceable(subject.card.backbone.name):
        torch.onnx.export(
            EmbeddingGraph(subject.encoder), (subject.images(max(BATCHES)),), str(file), dynamo=True, verbose=False,
            input_names=["images"], output_names=["embedding"], dynamic_shapes={"images": {0: batch}},
            external_data=False,
        )  # fmt: skip
    model = onnx.load(file)
    onnx.helper.set_model_props(model, {"coarsecon.input": json.dumps(subject.card.input.model_dump(mode="json"))})
    onnx.checker.check_model(model)
    onnx.save(model, file)
    subject.write_card(folder)

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def embed(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["embedding"], {"images": images.numpy()})[0])

    equal = subject.compare("onnxruntime", embed, TOLERANCE)
    size = subject.card.input.size
    return [
        f"images: uint8 [N, 3, {size}, {size}] in RGB, resized by antialiased bilinear; all else is in the graph",
        f"onnxruntime gives {equal}",
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its progress on stdout, which is for results."""
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
