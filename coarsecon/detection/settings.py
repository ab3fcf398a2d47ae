"""Settings of a detector, strict and layered like those of a run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from coarsecon.config import Checkpoint, Count, Fraction, OptimizerSettings, Positive, Settings

InnerFraction = Annotated[float, Field(gt=0, lt=1)]


class DetectionData(Settings):
    """Folders in VOC or COCO format, and their splits for training and evaluation."""

    paths: list[Annotated[Path, Field(strict=False)]] = Field(
        default_factory=list, description="Folders with the images."
    )
    train: str = Field("trainval", description="Name of the training set: trainval of VOC, train2017 of COCO, ...")
    test: str = Field("test", description="Name of the set to evaluate on: test of VOC, val2017 of COCO, ...")
    difficult: bool = Field(False, description="VOC: train with objects marked as difficult too")
    workers: int = Field(2, ge=0, description="Processes that decode image files.")


class ModelSettings(Settings):
    """The detector around the backbone."""

    encoder: Checkpoint = Field("last", description="Checkpoint of the run that initializes the backbone.")
    head: Literal["c4", "fpn"] = Field("c4", description="c4: layer4 is the box head; fpn: a feature pyramid network.")
    masks: bool = Field(False, description="Mask R-CNN; else Faster R-CNN")
    batch_norm: Literal["tuned", "frozen"] = Field(
        "tuned", description="tuned: batch statistics, as in the papers; frozen: the run's, for small batches."
    )
    anchors: list[Positive] = Field(
        [32, 64, 128, 256, 512], min_length=1, description="Sizes of the anchors in pixels."
    )
    regions: Count = Field(512, description="Regions per image that the heads are trained on.")
    proposals: Count = Field(1000, description="Regions per image in evaluation.")


class SizeSettings(Settings):
    """The shorter side that images are resized to, in pixels."""

    train: list[Count] = Field(
        [800], min_length=1, description="Sizes of the shorter side in pixels; one is drawn for each image."
    )
    test: Count = 800
    longest: Count = Field(1333, description="Maximum size of the longer side in pixels.")


class DetectionSchedule(Settings):
    """Learning rate schedule."""

    steps: Count = 24000
    warmup_steps: int = Field(100, ge=0, description="Steps of linear warmup; at most a tenth of all steps.")
    warmup_from: Fraction = Field(0.001, description="Fraction of the learning rate at which the warmup starts.")
    drops: list[InnerFraction] = Field(
        default_factory=list, description="Fractions of the steps after which the learning rate is divided by 10."
    )
    precise_batches: int = Field(
        0, ge=0, description="Batches from which batch norm statistics are recomputed after training (precise BN)."
    )


class DetectionRun(Settings):
    """Training and hardware settings."""

    batch_size: Count = Field(16, description="Batch size in images.")
    seed: int = Field(0, ge=0)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of training; evaluation is in float32."
    )
    log_every: Count = Field(20, description="Steps between two rows of metrics.jsonl.")
    loggers: list[Literal["tensorboard", "wandb"]] = Field(default_factory=list)
    save_every: Count = Field(1000, description="Steps between two training states.")


class DetectionConfig(Settings):
    """Every setting of a detector's training."""

    recipe: str | None = Field(None, description="The recipe that these settings come from.")
    data: DetectionData = Field(default_factory=DetectionData)
    model: ModelSettings = Field(default_factory=ModelSettings)
    sizes: SizeSettings = Field(default_factory=SizeSettings)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: DetectionSchedule = Field(default_factory=DetectionSchedule)
    run: DetectionRun = Field(default_factory=DetectionRun)
