"""What a run is made of: strict settings, layered recipe < config file < --set < flags, with one-line errors."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from coarsecon.errors import InputError
from coarsecon.runtime.documents import MAX_YAML_BYTES, parse_yaml

S = TypeVar("S", bound=BaseModel)
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=2**31)]

Checkpoint = Literal["last", "best"]
"""The encoder of the last epoch, or the one whose monitored recall was best."""

FeatureLayer = Literal["backbone", "projector"]
"""Where features are taken: the backbone's pooled output, or its projection."""


class Settings(BaseModel):
    """Base of every group of settings: nothing unknown passes, nothing is coerced, every number is finite."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


class DataSettings(Settings):
    """Which prepared dataset, and which of its labels to learn from."""

    path: Path | None = Field(None, strict=False, description="a folder made by `coarsecon prepare`")
    labels: str = Field("coarse", description="the label level to learn from")
    limit: Count | None = Field(None, description="use N training images only")
    limit_draw: Literal["even", "first"] = Field(
        "even", description="how they are chosen: drawn evenly over the classes by run.seed, or the first N"
    )
    size: Count | None = Field(None, description="side of the views in pixels; by default the dataset's")
    workers: int = Field(2, ge=0, description="processes that decode image files")


RESUMABLE = frozenset(
    {
        "data.path", "data.workers", "backbone.weights", "method.saliency_weights",
        "run.device", "run.precision", "run.compile", "run.loggers", "run.log_every", "run.save_every",
        "run.monitor_every", "run.monitor_knn",
    }
)  # fmt: skip
"""Settings that may change when a run is resumed: where it runs and what it logs, and where files lie."""


class BackboneSettings(Settings):
    """The network whose pooled output is the embedding."""

    name: str = Field("resnet18", description="any timm model")
    stem: Literal["auto", "small", "small-pool", "standard"] = Field(
        "auto",
        description="small: 3x3 stride 1, no max-pool; small-pool keeps it; "
        "auto: small up to 64 px, where a convnet takes any side",
    )
    init: Literal["timm", "torchvision", "maskcon"] = Field(
        "timm",
        description="initial weights: timm: as timm draws them, residual branches of ResNets at scale 0; torchvision: "
        "every batch norm at scale 1; maskcon: the same, with PyTorch's default for a small stem",
    )
    batch_norm_splits: Count = Field(1, description="virtual batch-norm groups of the global batch")
    pretrained: bool = Field(False, description="start from timm's weights, fetched from the hub")
    weights: Path | None = Field(None, strict=False, description="start from this file of weights")
    weights_key: str | None = Field(
        None,
        description="which weights of a file with several: their key or a part of their prefix, "
        "such as state_dict_ema or teacher; default: the plain ones",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="further arguments of timm.create_model")


class OptimizerSettings(Settings):
    """SGD, as all the papers use it, or AdamW."""

    kind: Literal["sgd", "adamw"] = Field("sgd", description="adamw for transformers; it wants rates of 1e-5 to 1e-2")
    lr: Positive = 0.02
    momentum: Fraction = Field(0.9, description="of AdamW: the first beta")
    weight_decay: float = Field(5e-4, ge=0, description="AdamW spares biases and norms; 0.05 is usual for it")
    nesterov: bool = Field(False, description="of SGD alone")


class ScheduleSettings(Settings):
    """How the learning rate moves; see `coarsecon.train.schedule`."""

    epochs: Count = 200
    kind: Literal["cosine", "epoch-cosine", "cyclic"] = Field(
        "cosine", description="per step after the warm-up; per epoch over all epochs; per epoch with restarts"
    )
    warmup_epochs: float | None = Field(None, ge=0, description="default: 5, or a tenth of the epochs if that is less")
    warmup_from: float = Field(0.0, ge=0, description="learning rate at the first warm-up step")
    floor: Fraction = Field(0.0, description="the cosine ends at this share of the learning rate")
    cycles: Count | None = Field(
        None, description="cosines of the cyclic schedule; default: one every 20 epochs, at most 10"
    )


class RunSettings(Settings):
    """Where and how the run happens."""

    batch_size: int = Field(128, ge=2, description="images in a step, over all ranks")
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    batch_norm: Literal["shuffle", "sync", "local"] = Field(
        "shuffle",
        description="on several ranks: shuffle the key encoder's batch across them, "
        "share batch statistics, or keep to each rank's own",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the hardware is faster with it"
    )
    compile: bool | None = Field(
        None, description="compile the encoders; default: on a GPU, in runs of at least 10,000 steps"
    )
    log_every: Count = Field(50, description="steps between two rows of metrics.jsonl")
    monitor_every: int = Field(10, ge=0, description="epochs between two looks at recall; 0: never")
    monitor_images: int = Field(2000, ge=2, description="images the monitor looks at")
    monitor_knn: bool = Field(False, description="the monitor also votes by the 200 nearest training images")
    loggers: list[Literal["tensorboard", "wandb"]] = Field(default_factory=list)


class RunConfig(Settings):
    """Every setting of a run; `method` holds the method's name and the settings of its own `Config`."""

    recipe: str | None = Field(None, description="the recipe this run started from")
    data: DataSettings = Field(default_factory=DataSettings)
    backbone: BackboneSettings = Field(default_factory=BackboneSettings)
    method: dict[str, Any] = Field(default_factory=lambda: {"name": "maskcon"})
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    run: RunSettings = Field(default_factory=RunSettings)

    @field_validator("method")
    @classmethod
    def _named(cls, method: dict[str, Any]) -> dict[str, Any]:
        named = {"name": "maskcon", **method}
        if not isinstance(named["name"], str):
            raise ValueError("its name is text; `coarsecon methods` lists them")
        return named


def read_config_file(path: Path) -> dict[str, Any]:
    """One layer of settings from a YAML file.

    Raises:
        InputError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_YAML_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{path}: cannot be read as a config file ({why})") from None
    layer = parse_yaml(text, str(path))
    if not isinstance(layer, dict):
        raise InputError(f"{path}: a config file is a mapping of sections (data, backbone, method, ...)")
    return _of_sections(layer, str(path))


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """`["optimizer.lr=0.1", ...]` as one layer of settings; values are YAML.

    Raises:
        InputError: an assignment is not of the form a.b=c.
    """
    layer: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        *sections, last = key.strip().split(".")
        if not equals or not last or not all(sections):
            raise InputError(f"--set {assignment}: expected section.key=value, as in --set optimizer.lr=0.1")
        target = layer
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise InputError(f"--set {assignment}: {section} was given a plain value before")
        target[last] = parse_yaml(value, f"--set {key}")
    return _of_sections(layer, "--set")


def _of_sections(layer: dict[str, Any], origin: str) -> dict[str, Any]:
    """The layer, if no section is a plain value: one would make a layer above or below it vanish."""
    sections = {key for key, field in RunConfig.model_fields.items() if field.default_factory}
    for key, value in layer.items():
        if key in sections and not isinstance(value, Mapping | None):
            raise InputError(f"{origin}: {key} is a section of settings, as in --set optimizer.lr=0.1 (got {value!r})")
    return layer


def merge(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """`layer` over `base`, section by section.

    A layer that names another method drops the settings of the first, and one that names another backbone what only
    the first may understand: its arguments, and the stem it was given.
    """
    merged = dict(base)
    for key, value in layer.items():
        below = merged.get(key)
        if not (isinstance(value, Mapping) and isinstance(below, Mapping)):
            merged[key] = dict(value) if isinstance(value, Mapping) else value
        elif key == "method" and value.get("name", below.get("name")) != below.get("name"):
            merged[key] = dict(value)
        elif key == "backbone" and _is_another(value.get("name"), below.get("name")):
            merged[key] = merge({k: v for k, v in below.items() if k not in ("args", "stem")}, value)
        else:
            merged[key] = merge(below, value)
    return merged


def _is_another(name: Any, before: Any) -> bool:
    """Whether two names of timm's are of two architectures, and not of one with other weights (resnet18.a1_in1k)."""
    return None not in (name, before) and str(name).partition(".")[0] != str(before).partition(".")[0]


def validate(model: type[S], values: Any, *, section: str = "") -> S:
    """`values` as a `model`; the first faults are told in one line, with the nearest valid key for an unknown one.

    Raises:
        InputError: a key is unknown or a value does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [_fault(model, fault, section) for fault in error.errors()[:2]]
        raise InputError("; ".join(faults)) from None


def _fault(model: type[BaseModel], fault: Any, section: str) -> str:
    place = [str(part) for part in fault["loc"]]
    key = ".".join([section] * bool(section) + place)
    if fault["type"] != "extra_forbidden":
        return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]} (got {fault['input']!r})"
    names = _all_keys(model, section)
    siblings = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == key.rpartition(".")[0]}
    # Compared without its section, which all of them share: it would make any two look alike.
    near = [siblings[name] for name in difflib.get_close_matches(place[-1], siblings, n=1)]
    near = near or [name for name in names if name.rpartition(".")[2] == place[-1]]
    return f"{key} is not a setting; " + (
        f"did you mean {near[0]}?" if near else f"known: {', '.join(siblings.values())}"
    )


def _all_keys(model: type[BaseModel], section: str) -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        key = f"{section}.{name}" if section else name
        keys.append(key)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _all_keys(field.annotation, key)
    return keys


def to_yaml(config: BaseModel) -> str:
    """The settings as YAML, in the order they are declared."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
