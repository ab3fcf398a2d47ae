"""Gradient accumulation: the batch of a rank in several parts, whose gradients are averaged."""

from coarsecon.errors import InputError
from coarsecon.methods import Method
from coarsecon.runtime.distributed import Distributed
from coarsecon.train.resolve import RunSpec
from coarsecon.train.view_source import ViewBatch


def split_batch(batch: ViewBatch, parts: int) -> list[ViewBatch]:
    """Divide views [B, 3, S, S] by name and labels [B] into equal parts of consecutive images."""
    if parts == 1:
        return [batch]
    views, labels = batch
    divided = {name: images.chunk(parts) for name, images in views.items()}
    return [({name: chunks[i] for name, chunks in divided.items()}, own) for i, own in enumerate(labels.chunk(parts))]


def check_parts(spec: RunSpec, comm: Distributed) -> None:
    """Check that every part of a rank's batch has the same number of images, two or more.

    Raises:
        InputError: The batch size does not allow it.
    """
    parts = spec.config.run.accumulate
    if parts == 1:
        return
    images, left = divmod(spec.batch_size, parts * comm.world_size)
    if left or images < 2:
        ranks = f" times the number of ranks ({comm.world_size})" if comm.world_size > 1 else ""
        problem = f"{spec.batch_size} must be a multiple of run.accumulate ({parts}){ranks} with 2 images per part"
        raise InputError("run.batch_size", problem, "lower run.accumulate, or change the batch size")


def accumulation_notes(method: Method, spec: RunSpec) -> list[str]:
    """Warn if gradients of parts are not those of the batch, because the method compares the images of a batch."""
    parts = spec.config.run.accumulate
    if parts == 1 or method.mean_loss:
        return []
    name, images = spec.config.method["name"], spec.batch_size // parts
    return [
        f"Warning: {name} compares the images of a batch: with run.accumulate={parts} it compares those of a part, as "
        f"with run.batch_size={images}. Methods with a queue, such as moco, do not depend on it."
    ]
