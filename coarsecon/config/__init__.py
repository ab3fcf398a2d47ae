"""Settings of a run: strict, in layers (paper recipe < config file < assignments < options), with one-line errors."""

from coarsecon.config.layers import merge, parse_assignments, read_config_file, to_yaml
from coarsecon.config.settings import (
    RESUMABLE,
    BackboneSettings,
    Checkpoint,
    Count,
    DataSettings,
    FeatureLayer,
    FinetuneSettings,
    Fraction,
    OptimizerSettings,
    Pooling,
    Positive,
    RunConfig,
    RunSettings,
    ScheduleSettings,
)
from coarsecon.runtime.settings import Settings, validate

__all__ = [
    "RESUMABLE", "BackboneSettings", "Checkpoint", "Count", "DataSettings", "FeatureLayer", "FinetuneSettings",
    "Fraction", "OptimizerSettings", "Pooling", "Positive", "RunConfig", "RunSettings", "ScheduleSettings", "Settings",
    "merge", "parse_assignments", "read_config_file", "to_yaml", "validate",
]  # fmt: skip
