"""The monitor's numbers are those of the evaluations, on the monitored images."""

import pytest
import torch

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import open_dataset
from coarsecon.metrics.knn import knn_predict
from coarsecon.metrics.retrieval import recall_at_k
from coarsecon.train.monitor import evaluate, monitored_split


def test_recall_and_votes_are_those_of_the_embedding(tiny_data):
    dataset = open_dataset(tiny_data)
    split, bank = monitored_split(dataset, 40), dataset.split("train")
    assert len(split) == 40

    def embed(batch):
        return batch.pixels.float().mean((2, 3))

    metrics = evaluate(embed, *(ImageLoader(each, torch.device("cpu"), 0) for each in (split, bank)))
    features, known = (each.images.float().mean((2, 3)) for each in (split, bank))
    assert set(metrics) == {"coarse_recall@1", "fine_recall@1", "coarse_knn", "fine_knn"}
    for level, labels in split.labels.items():
        voted = knn_predict(known, bank.labels[level], features, k=200, t=0.1)
        assert metrics[f"{level}_knn"] == pytest.approx((voted == labels).float().mean().item())
        assert metrics[f"{level}_recall@1"] == pytest.approx(recall_at_k(features, labels, (1,))[1])
