"""Default length of a training: the batch size and the number of epochs follow from the number of images."""

import math

from coarsecon.config import RunConfig

REFERENCE_IMAGES = 50_000
REFERENCE_EPOCHS = 200
"""Epochs for the images of CIFAR-100, and for more: the length of the papers' trainings."""
MAX_EPOCHS = 500

MAX_BATCH_SIZE = 128
MIN_BATCH_SIZE = 32
BATCHES_PER_EPOCH = 16
"""Least number of batches in an epoch, as long as a batch has `MIN_BATCH_SIZE` images."""


def default_batch_size(images: int) -> int:
    """Return 128, or for fewer than 2,048 images a power of two from 32 on; at most half the images."""
    wanted = max(MIN_BATCH_SIZE, min(MAX_BATCH_SIZE, images // BATCHES_PER_EPOCH))
    return 2 ** max(1, int(math.log2(max(2, min(wanted, images // 2)))))


def default_epochs(images: int) -> int:
    """Return 200 epochs for 50,000 images and more, and for fewer in inverse proportion to their root, up to 500.

    They are for random initial weights; `coarsecon.train.finetune_defaults` has those for pretrained ones.
    """
    ratio = math.sqrt(REFERENCE_IMAGES / min(images, REFERENCE_IMAGES))
    return round(min(MAX_EPOCHS, REFERENCE_EPOCHS * ratio))


def batch_size_of(config: RunConfig) -> int:
    """Return the global batch size of resolved settings."""
    assert config.run.batch_size is not None, "build_run_spec chooses it"
    return config.run.batch_size


def with_length(config: RunConfig, images: int) -> RunConfig:
    """Return the settings with the default batch size and number of epochs where they are not set."""
    epochs = config.schedule.epochs or default_epochs(images)
    batch_size = config.run.batch_size or default_batch_size(images)
    return config.model_copy(
        update={
            "schedule": config.schedule.model_copy(update={"epochs": epochs}),
            "run": config.run.model_copy(update={"batch_size": batch_size}),
        }
    )
