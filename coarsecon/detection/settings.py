"""Settings of a detector, strict and layered like those of a run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from coarsecon.config import Checkpoint, Count, Fraction, OptimizerSettings, Positive, Settings

InnerFraction = Annotated[float, Field(gt=0, lt=1)]


class DetectionData(Settings):
    """Folders in VOC or COCO format, and their splits for training and evaluation."""

    paths: list[Annotated[Path, Field(strict=False)]] = Field(default_factory=list, description="folders, as --data")
    train: str = Field("trainval", description="trainval of VOC, train2017 of COCO, ...")
    test: str = Field("test", description="test of VOC, val2017 of COCO, ...")
    difficult: bool = Field(False, description="VOC: train with objects marked as difficult too")
    workers: int = Field(2, ge=0, description="processes that decode image files")


class ModelSettings(Settings):
    """The detector around the backbone."""

    encoder: Checkpoint = Field("last", description="the run's encoder it starts from")
    head: Literal["c4", "fpn"] = Field("c4", description="c4: layer4 is the box head; fpn: a feature pyramid")
    masks: bool = Field(False, description="Mask R-CNN; else Faster R-CNN")
    batch_norm: Literal["tuned", "frozen"] = Field(
        "tuned", description="tuned: batch statistics, as the papers do; frozen: the run's, for small batches"
    )
    anchors: list[Positive] = Field([32, 64, 128, 256, 512], min_length=1, description="sizes of anchors in pixels")
    regions: Count = Field(512, description="regions per image that the heads are trained on")
    proposals: Count = Field(1000, description="regions per image in evaluation")


class SizeSettings(Settings):
    """The shorter side that images are resized to, in pixels."""

    train: list[Count] = Field([800], min_length=1, description="one of these is drawn for each image")
    test: Count = 800
    longest: Count = Field(1333, description="the longer side is at most this")


class DetectionSchedule(Settings):
    """Learning rate schedule."""

    steps: Count = 24000
    warmup_steps: int = Field(100, ge=0, description="linear rise; at most a tenth of the steps")
    warmup_from: Fraction = Field(0.001, description="fraction of the learning rate it rises from")
    drops: list[InnerFraction] = Field(
        default_factory=list, description="fractions of the steps after which it is divided by 10"
    )
    precise_batches: int = Field(
        0, ge=0, description="batches that batch norm's statistics are recomputed from after training (precise BN)"
    )


class DetectionRun(Settings):
    """Training and hardware settings."""

    batch_size: Count = Field(16, description="batch size in images")
    seed: int = Field(0, ge=0)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="of training; measured in float32")
    log_every: Count = Field(20, description="steps between two rows of metrics.jsonl")
    loggers: list[Literal["tensorboard", "wandb"]] = Field(default_factory=list)
    save_every: Count = Field(1000, description="steps between two training states")


class DetectionConfig(Settings):
    """Every setting of a detector's training."""

    recipe: str | None = Field(None, description="the recipe it started from")
    data: DetectionData = Field(default_factory=DetectionData)
    model: ModelSettings = Field(default_factory=ModelSettings)
    sizes: SizeSettings = Field(default_factory=SizeSettings)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: DetectionSchedule = Field(default_factory=DetectionSchedule)
    run: DetectionRun = Field(default_factory=DetectionRun)
