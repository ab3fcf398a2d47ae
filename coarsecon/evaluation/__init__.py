"""Evaluations of a run, and the metrics on features that they are made of."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coarsecon.evaluation.base import (
    Evaluation,
    EvaluationConfig,
    FileFormat,
    Metric,
    Result,
    Table,
    metrics_table,
    percent,
)

if TYPE_CHECKING:
    from coarsecon.metrics.episodes import Episode, sample_episode
    from coarsecon.metrics.knn import knn_predict
    from coarsecon.metrics.retrieval import map_at_r, r_precision, recall_at_k, retrieval_metrics

LAZY = {
    "Episode": "episodes", "sample_episode": "episodes", "knn_predict": "knn", "map_at_r": "retrieval",
    "r_precision": "retrieval", "recall_at_k": "retrieval", "retrieval_metrics": "retrieval",
}  # fmt: skip
"""Functions that need torch, with their modules in `coarsecon.metrics`."""

__all__ = [
    "Episode",
    "Evaluation",
    "EvaluationConfig",
    "FileFormat",
    "Metric",
    "Result",
    "Table",
    "knn_predict",
    "map_at_r",
    "metrics_table",
    "percent",
    "r_precision",
    "recall_at_k",
    "retrieval_metrics",
    "sample_episode",
]


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"coarsecon.metrics.{LAZY[name]}"), name)
