"""The monitor's numbers are those of the evaluations, on the monitored images."""

import pytest
import torch

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import open_dataset
from coarsecon.metrics.knn import knn_predict
from coarsecon.metrics.retrieval import recall_at_k
from coarsecon.train.monitor import WITHIN, evaluate, monitored_split


def test_recall_and_votes_are_those_of_the_embedding(tiny_data):
    dataset = open_dataset(tiny_data)
    split, bank = monitored_split(dataset, 40), dataset.split("train")
    assert len(split) == 40

    def embed(batch):
        return batch.pixels.float().mean((2, 3))

    metrics = evaluate(embed, *(ImageLoader(each, torch.device("cpu"), 0) for each in (split, bank))).metrics
    features, known = (each.images.float().mean((2, 3)) for each in (split, bank))
    assert set(metrics) == {"coarse_recall@1", "fine_recall@1", "coarse_knn", "fine_knn", WITHIN}
    for level, labels in split.labels.items():
        voted = knn_predict(known, bank.labels[level], features, k=200, t=0.1)
        assert metrics[f"{level}_knn"] == pytest.approx((voted == labels).float().mean().item())
        assert metrics[f"{level}_recall@1"] == pytest.approx(recall_at_k(features, labels, (1,))[1])


def test_recall_within_coarse_classes_searches_the_images_of_the_coarse_class(tiny_data):
    split = monitored_split(open_dataset(tiny_data), 40)
    split.labels["fine"][split.labels["coarse"] == 2] = 8  # a coarse class with one fine class does not count
    split.labels["fine"][:3] = -1

    def embed(batch):
        return batch.pixels.float().mean((2, 3))

    found = evaluate(embed, ImageLoader(split, torch.device("cpu"), 0))
    features = torch.nn.functional.normalize(split.images.float().mean((2, 3)), dim=1)
    fine, coarse = split.labels["fine"], split.labels["coarse"]
    hits = {}
    for i in range(len(split)):
        if fine[i] >= 0 and coarse[i] != 2:
            others = [j for j in range(len(split)) if j != i and coarse[j] == coarse[i]]
            hits[i] = float(fine[max(others, key=lambda j: float(features[i] @ features[j]))] == fine[i])
    assert (~found.queries[WITHIN].isnan()).nonzero().flatten().tolist() == list(hits)
    assert found.queries[WITHIN][list(hits)].tolist() == list(hits.values())
    assert found.metrics[WITHIN] == pytest.approx(sum(hits.values()) / len(hits))


def test_without_fine_labels_only_coarse_recall_is_measured(tiny_data):
    split = monitored_split(open_dataset(tiny_data), 40)
    split.labels["fine"][:] = -1
    found = evaluate(lambda batch: batch.pixels.float().mean((2, 3)), ImageLoader(split, torch.device("cpu"), 0))
    assert set(found.metrics) == {"coarse_recall@1"}
