"""`coarsecon datasets NAME` tells what one must know before fetching a dataset."""

import json

from coarsecon import registry


def test_every_built_in_dataset_tells_its_counts_classes_terms_and_disk_need(coarsecon):
    for entry in registry.entries(registry.DATASETS):
        if entry.distribution != "coarsecon":
            continue
        told = json.loads(coarsecon("datasets", entry.name, "--json", "-").out)
        assert told["terms"], entry.name
        assert told["disk"], entry.name
        if told["counts"]:
            assert told["levels"], entry.name
            assert told["name"] == "toy" or (told["url"].startswith("http") and told["citation"]), entry.name


def test_the_screen_shows_counts_home_terms_and_citation(coarsecon):
    shown = coarsecon("datasets", "cifar100").out
    for text in ("train 50,000, test 10,000", "coarse 20, fine 100", "https://", "no license", "Krizhevsky"):
        assert text in shown, text
