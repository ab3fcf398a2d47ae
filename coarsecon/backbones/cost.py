"""Measure what an encoder costs: dimension, parameters, images per second, and memory."""

import json
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from coarsecon.errors import InputError
from coarsecon.nn.encoder import Encoder
from coarsecon.run.facade import Run
from coarsecon.runtime.documents import read_json_object
from coarsecon.runtime.files import atomic_write
from coarsecon.views.batch import ImageBatch

BATCH = 16
"""Images in the batch that is measured."""

MIN_SECONDS = 0.5
"""Minimum duration of a measurement of speed."""

FILE = "cost.json"
"""File of a run folder with the measured cost."""


@dataclass(frozen=True)
class Cost:
    """Cost of an encoder on a device.

    `images_per_second` is that of the network and its input transform, without decoding. `memory` is the peak in MiB of
    weights and activations for a batch of `BATCH` images.
    """

    size: int
    dim: int
    parameters: int
    images_per_second: float
    memory: float
    device: str


def measured_cost(run: Run) -> Cost:
    """Return the cost of the encoder of a run, from its folder if it was measured there before on the same device."""
    file, mark = run.folder.root / FILE, run.store.encoder_mark
    try:
        kept = read_json_object(file)
        cost = Cost(**kept["cost"])
        if kept["encoder"] == mark and cost.device == str(run.store.device):
            return cost
    except (OSError, InputError, KeyError, TypeError):
        pass
    cost = measure_cost(run.store.encoder)
    text = json.dumps({"encoder": mark, "cost": asdict(cost)}, indent=2)
    run.folder.store(file, lambda place: atomic_write(place, text), run.reporter, is_listed=False)
    return cost


def measure_cost(encoder: Encoder) -> Cost:
    """Measure an encoder on random images of its size."""
    size, device = encoder.card.input.size, next(encoder.backbone.parameters()).device
    pixels = torch.randint(0, 256, (BATCH, 3, size, size), dtype=torch.uint8, device=device)
    batch = ImageBatch.full(pixels)
    memory = _peak_memory(encoder, batch)  # also warms up
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < MIN_SECONDS:
        encoder.features(batch).cpu()
        count += BATCH
    return Cost(
        size=size,
        dim=encoder.dim,
        parameters=sum(parameter.numel() for parameter in encoder.backbone.parameters()),
        images_per_second=count / elapsed,
        memory=memory / 2**20,
        device=str(device),
    )


def _peak_memory(encoder: Encoder, batch: ImageBatch) -> float:
    """Return the peak in bytes of weights and activations during a batch.

    On the CPU, the tensors of all operations are counted: the memory of the process would include other networks.
    """
    device = batch.pixels.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        encoder.features(batch)
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device))
    weights = sum(value.nbytes for value in encoder.backbone.state_dict().values())
    with LiveTensors() as live:
        encoder.features(batch)
    return float(weights + live.peak)


class LiveTensors(TorchDispatchMode):
    """Count the bytes of the tensors that operations create, and how many there are at most at a time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._bytes = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call an operation and count its results."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:  # a view
            return
        size = self._known[storage] = storage.nbytes()
        weakref.finalize(storage, self._free, size)
        self._bytes += size
        self.peak = max(self.peak, self._bytes)

    def _free(self, size: int) -> None:
        self._bytes -= size
