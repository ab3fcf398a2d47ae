"""The papers' evaluation protocols on features: retrieval, nearest neighbours, few-shot, linear probe."""

from coarsecon.metrics.episodes import Episode, sample_episode
from coarsecon.metrics.knn import knn_predict
from coarsecon.metrics.retrieval import map_at_r, r_precision, recall_at_k, retrieval_metrics

__all__ = [
    "Episode",
    "knn_predict",
    "map_at_r",
    "r_precision",
    "recall_at_k",
    "retrieval_metrics",
    "sample_episode",
]
