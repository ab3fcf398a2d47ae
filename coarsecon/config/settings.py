"""Models of the settings of a run, and their former names."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from coarsecon.runtime.settings import Settings

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=2**31)]

Checkpoint = Literal["last", "best", "initial"]
"""Encoder of the last epoch, the one with the best monitored recall, or the weights that training started from."""

FeatureLayer = Literal["backbone", "projector"]
"""Layer that features come from: the backbone's pooled output, or its projection."""

Pooling = Literal["cls", "mean", "both"]
"""Features of a transformer: its class token, the mean of its patch tokens, or both concatenated."""


class DataSettings(Settings):
    """The prepared dataset, and the labels to train on."""

    path: Path | None = Field(None, strict=False, description="Folder of the dataset, made by `coarsecon prepare`.")
    labels: str = Field("coarse", description="Label level to train on.")
    limit: Count | None = Field(None, description="Number of training images to use (default: all).")
    limit_draw: Literal["even", "first"] = Field(
        "even", description="Images that `limit` keeps: drawn evenly over the classes with run.seed, or the first N."
    )
    size: Count | None = Field(None, description="Image size of the views in pixels (default: the dataset's).")
    workers: int = Field(2, ge=0, description="Number of processes that decode image files.")
    validation: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Fraction of the training images to hold out for monitoring if the dataset has no split val "
        "(0 = monitor on test).",
    )


RESUMABLE = frozenset(
    {
        "data.path", "data.workers", "backbone.weights", "method.saliency_weights",
        "run.device", "run.precision", "run.compile", "run.loggers", "run.log_every", "run.save_every",
        "run.monitor_every", "run.monitor_knn",
    }
)  # fmt: skip
"""Settings that may change when a run is resumed: paths, the machine, and what is logged."""


class BackboneSettings(Settings):
    """The network whose pooled output is the embedding."""

    name: str = Field("resnet18", description="Name of a timm model.")
    stem: Literal["auto", "small", "small-pool", "standard"] = Field(
        "auto",
        description="First layers. small: 3x3 convolution with stride 1, no max-pool; small-pool: keeps the max-pool; "
        "auto: small up to 64 px for a convnet that takes any image size, else standard.",
    )
    init: Literal["timm", "torchvision", "maskcon"] = Field(
        "timm",
        description="Initial weights. timm: timm's own, with residual branches of ResNets at scale 0; torchvision: "
        "every batch norm at scale 1; maskcon: the same, with PyTorch's default for a small stem.",
    )
    batch_norm_splits: Count = Field(1, description="Number of virtual batch-norm groups of the global batch.")
    pretrained: bool = Field(False, description="Start from timm's published weights, downloaded from the hub.")
    weights: Path | None = Field(None, strict=False, description="Checkpoint file to start from.")
    weights_key: str | None = Field(
        None,
        description="Weights to take from a checkpoint with several: their key or a part of their prefix, "
        "such as state_dict_ema or teacher (default: the plain ones).",
    )
    input_transform: Literal["auto", "weights", "dataset"] = Field(
        "auto",
        description="Transform of images. weights: statistics, interpolation and center crop that the initial weights "
        "were trained with; dataset: the dataset's statistics, images resized to a square; auto: weights where the "
        "network starts from some.",
    )
    pooling: Pooling | None = Field(
        None,
        description="Features of a transformer: cls (class token), mean (of the patch tokens), or both concatenated "
        "(default: timm's pooling).",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="Further arguments of timm.create_model.")

    @property
    def starts_from_weights(self) -> bool:
        """True if the initial weights are published ones or those of a file, not random."""
        return self.pretrained or self.weights is not None


class OptimizerSettings(Settings):
    """The optimizer and its rates."""

    name: Literal["sgd", "lars", "adamw"] = Field(
        "sgd", description="Optimizer; lars suits batches of thousands of images, adamw transformers."
    )
    lr: Positive = Field(0.02, description="Peak learning rate; 1e-5 to 1e-2 for adamw.")
    momentum: Fraction = Field(0.9, description="Momentum; the first beta for adamw.")
    weight_decay: float = Field(
        5e-4, ge=0, description="Weight decay; lars and adamw spare biases and norms. adamw usually takes 0.05."
    )
    nesterov: bool = Field(False, description="Use Nesterov momentum (sgd and lars).")


class ScheduleSettings(Settings):
    """The learning-rate schedule; see `coarsecon.train.schedule`."""

    epochs: Count | None = Field(
        None,
        description="Number of training epochs (default: 200, up to 500 for fewer than 50,000 images; 15 from "
        "pretrained weights, fewer for more than 10,000 images).",
    )
    name: Literal["cosine", "epoch-cosine", "cyclic"] = Field(
        "cosine",
        description="Decay. cosine: per step after the warmup; epoch-cosine: per epoch over all epochs; "
        "cyclic: per epoch with restarts.",
    )
    warmup_epochs: float | None = Field(
        None, ge=0, description="Length of the linear warmup in epochs (default: 5, or a tenth of the epochs if less)."
    )
    warmup_from: float = Field(0.0, ge=0, description="Learning rate at the first warmup step.")
    floor: Fraction = Field(0.0, description="Final learning rate as a fraction of the peak.")
    cycles: Count | None = Field(
        None, description="Number of cosines of the cyclic schedule (default: one every 20 epochs, at most 10)."
    )


class FinetuneSettings(Settings):
    """Gentle training of pretrained weights, with any method; everything is off by default."""

    train: Literal["full", "last-blocks", "lora"] = Field(
        "full",
        description="Weights of the backbone to train. full: all; last-blocks: those of the last blocks and the final "
        "norm, with fixed batch-norm statistics below; lora: low-rank adapters of its layers, merged when saved.",
    )
    blocks: Count = Field(2, description="Number of blocks to train with last-blocks.")
    lora_rank: Count = Field(16, description="Rank of the adapters of lora; layers that are not wider get none.")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor of the learning rate from each layer of the backbone to the one below, as in timm, such as "
        "0.75 (1 = the same rate).",
    )
    distill: float = Field(
        0.0,
        ge=0,
        description="Weight of 1 - cosine similarity between the features of an image and those of the initial encoder "
        "(0 = off).",
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay per step of the exponential moving average (EMA) of encoder and heads that is saved for "
        "evaluations, such as 0.99 (0 = save the trained weights).",
    )


class RunSettings(Settings):
    """Batch, device and logging of the training."""

    batch_size: int | None = Field(
        None,
        ge=2,
        description="Global batch size in images, over all ranks (default: 128, down to 32 for fewer than 2,048 "
        "images).",
    )
    accumulate: Count = Field(
        1, description="Number of parts that the batch of a rank is computed in, to save memory; gradients add up."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of all random numbers.")
    device: str = Field("auto", description="Device: auto (an accelerator if there is one), cpu, cuda, cuda:1, ...")
    batch_norm: Literal["shuffle", "sync", "local"] = Field(
        "shuffle",
        description="Batch norm on several ranks. shuffle: shuffle the key encoder's batch across ranks; "
        "sync: share batch statistics; local: statistics per rank.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Floating-point type of the networks; auto: bfloat16 where the hardware is faster with it."
    )
    compile: bool | None = Field(
        None, description="Compile the encoders with torch.compile (default: on a GPU, from 10,000 steps on)."
    )
    log_every: Count = Field(50, description="Write a row of metrics.jsonl every N steps.")
    monitor_every: int = Field(10, ge=0, description="Measure recall on held-out images every N epochs (0 = never).")
    monitor_images: int = Field(2000, ge=2, description="Maximum number of images to measure recall on.")
    best_by: Literal["fine", "within-coarse", "coarse"] = Field(
        "fine",
        description="Monitored Recall@1 that selects the checkpoint best: of fine classes, of fine classes within the "
        "coarse class, or of the classes trained on (always where there are no fine labels).",
    )
    patience: int = Field(
        0, ge=0, description="Stop after N evaluations in a row without a better checkpoint (0 = never)."
    )
    monitor_knn: bool = Field(
        False, description="Also measure the accuracy of a vote of the 200 nearest training images."
    )
    loggers: list[Literal["tensorboard", "wandb"]] = Field(
        default_factory=list, description="Services to log to, in addition to metrics.jsonl."
    )


RENAMED = {"optimizer": {"kind": "name"}, "schedule": {"kind": "name"}}
"""Former keys of sections, by the section, with their present names."""


class RunConfig(Settings):
    """Every setting of a run; `method` holds the method's name and the settings of its `Config`."""

    recipe: str | None = Field(None, description="Paper recipe that the run started from.")
    data: DataSettings = Field(default_factory=DataSettings)
    backbone: BackboneSettings = Field(default_factory=BackboneSettings)
    method: dict[str, Any] = Field(default_factory=lambda: {"name": "maskcon"})
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    finetune: FinetuneSettings = Field(default_factory=FinetuneSettings)
    run: RunSettings = Field(default_factory=RunSettings)

    @model_validator(mode="before")
    @classmethod
    def _with_present_keys(cls, values: Any) -> Any:
        return rename_keys(values) if isinstance(values, Mapping) else values

    @field_validator("method")
    @classmethod
    def _named(cls, method: dict[str, Any]) -> dict[str, Any]:
        named = {"name": "maskcon", **method}
        if not isinstance(named["name"], str):
            raise ValueError("the name of a method is text; `coarsecon methods` lists them")
        return named


def rename_keys(layer: Mapping[str, Any], *, warn: bool = False) -> dict[str, Any]:
    """Replace former keys by their present names, in a copy; a section that has both keeps the present one."""
    renamed = dict(layer)
    for section, names in RENAMED.items():
        values = layer.get(section)
        if not isinstance(values, Mapping):
            continue
        for old, new in names.items():
            if old in values and warn:
                warnings.warn(f"{section}.{old} is now called {section}.{new}", FutureWarning, stacklevel=3)
        former = {names[key]: value for key, value in values.items() if key in names}
        renamed[section] = former | {key: value for key, value in values.items() if key not in names}
    return renamed
