"""Rank correlation of criteria without fine labels with the fine Recall@1 that they are to predict.

    python benchmarks/backbones.py --data data/grocery --data data/cifar100 \
        --weights tf_efficientnet_lite0=lite0.safetensors --sizes 64,96,128

Encoders are the stages of networks, averaged or maximized over their locations: weak and strong ones whose order is
not known beforehand. The criteria see images of train with coarse labels; the truth is Recall@1 within the coarse class
of images of the held-out split that search train. Kendall's tau and Spearman's rho are over the encoders of a dataset.
Without --data, random networks on toy images.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from machine import describe_machine
from safetensors.torch import load_file
from scipy.stats import kendalltau, spearmanr
from torch import Tensor, nn

from coarsecon.config import BackboneSettings
from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import PreparedDataset, Split, open_dataset
from coarsecon.data.prepared.subset import draw_evenly
from coarsecon.metrics.query_ranks import Search
from coarsecon.metrics.retrieval import recall_at_k, summary, values_within
from coarsecon.metrics.stability import cluster_stability, view_agreement
from coarsecon.nn.backbone import create_backbone
from coarsecon.nn.encoder import EncoderCard, InputTransform
from coarsecon.nn.published import find_published_transform
from coarsecon.nn.weights import load_weights
from coarsecon.search.exact import l2_normalize
from coarsecon.views.batch import ImageBatch
from coarsecon.views.presets import make_view

STAGES = 3
"""Last stages of each network that are encoders."""

CRITERIA = ("coarse R@1", "view agreement", "cluster stability")
BATCH = 100


def networks(names: list[str], sizes: list[int]) -> Iterator[tuple[str, nn.Module, InputTransform]]:
    """Yield a title, network and input transform of each name and size: NAME=FILE, NAME=random, or a card."""
    for text in names:
        name, _, file = text.partition("=")
        if name.endswith(".json"):  # the card of an encoder, with its weights in FILE
            card = EncoderCard.model_validate_json(Path(name).read_bytes())
            model = create_backbone(card.backbone, card.input.size)
            model.load_state_dict({key: value.float() for key, value in load_file(file).items()})
            yield f"{card.backbone.name}, trained, {card.input.size} px", model.eval(), card.input
            continue
        for size in sizes:
            torch.manual_seed(0)
            model = create_backbone(BackboneSettings(name=name, stem="standard", init="torchvision"), size)
            if file != "random":
                load_weights(model, Path(file), fresh_stem=False)
            kind = "random" if file == "random" else "pretrained"
            yield f"{name}, {kind}, {size} px", model.eval(), find_published_transform(name, size).transform


@torch.no_grad()
def stage_features(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return features [N, D] of the last stages by average and maximum, and those of the network."""
    _, stages = model.forward_intermediates(images)
    found = {"output": model(images)}
    for place, maps in enumerate(stages[-STAGES:], len(stages) - STAGES + 1):
        found |= {f"stage {place} avg": maps.mean((2, 3)), f"stage {place} max": maps.amax((2, 3))}
    return found


def batches(split: Split) -> Iterator[ImageBatch]:
    """Yield the images of a split."""
    return ImageLoader(split, "cpu").batches(torch.arange(len(split)).split(BATCH))


def embed(model: nn.Module, transform: InputTransform, split: Split, view: int = 0) -> dict[str, Tensor]:
    """Return the features of all stages for a split, or for random view 1, 2, ... of each image."""
    made: dict[str, list[Tensor]] = {}
    inputs = make_view("simclr" if view else "test", size=transform.size, mean=transform.mean, std=transform.std)
    for place, batch in enumerate(batches(split)):
        for name, rows in stage_features(
            model, inputs(batch, torch.Generator().manual_seed(1000 * view + place))
        ).items():
            made.setdefault(name, []).append(rows.float())
    return {name: torch.cat(rows) for name, rows in made.items()}


def encoders(
    data: PreparedDataset, count: int, names: list[str], sizes: list[int], repeats: int
) -> Iterator[list[object]]:
    """Yield a row for each encoder: title, truth, and the criteria."""
    held_out = next(name for name in ("test", "val") if name in data.splits)
    train, queries = (
        split.take(draw_evenly(split.labels["fine"], count, seed=0)) for split in map(data.split, ("train", held_out))
    )
    fine, coarse = ((queries.labels[level], train.labels[level]) for level in ("fine", "coarse"))
    classes = torch.stack(coarse[1:] + fine[1:]).unique(dim=1)[0].bincount()
    several = classes[coarse[0].clamp(max=len(classes) - 1)] > 1
    for title, model, transform in networks(names, sizes):
        asked, among = (embed(model, transform, split) for split in (queries, train))
        first, second = (embed(model, transform, train, view) for view in (1, 2))
        for stage in asked:
            search = Search(l2_normalize(asked[stage]), l2_normalize(among[stage]), torch.full((len(queries),), -1))
            truth = summary(values_within(search, fine, coarse), fine[0], several)["recall@1"]
            yield [
                f"{title}, {stage}",
                truth,
                recall_at_k(among[stage], coarse[1], [1])[1],
                float(view_agreement(first[stage], second[stage], coarse[1]).nanmean()),
                cluster_stability(first[stage], second[stage], coarse[1], repeats=repeats)[0],
            ]


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", help="prepared dataset with train and test or val")
    parser.add_argument("--weights", action="append", help="NAME=FILE, NAME=random, or CARD.json=FILE")
    parser.add_argument("--sizes", default="32", help="image sizes in pixels")
    parser.add_argument("--images", type=int, default=1000, help="images of each split, drawn evenly")
    parser.add_argument("--repeats", type=int, default=5, help="random halvings for the stability of clusters")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    names = options.weights or ["resnet18=random", "tf_efficientnet_lite0=random"]
    print(f"{options.images:,} images of each split, {describe_machine()}")
    with tempfile.TemporaryDirectory() as folder:
        datasets = [open_dataset(path) for path in options.data or ()]
        for data in datasets or [prepare_dataset("toy", Path(folder) / "toy")]:
            rows = list(encoders(data, options.images, names, sizes, options.repeats))
            print(
                f"\n{data.info.name}, {len(rows)} encoders\n\n| encoder | within coarse R@1 | {' | '.join(CRITERIA)} |"
            )
            print("| --- |" + " --- |" * (1 + len(CRITERIA)))
            for title, *values in sorted(rows, key=lambda row: -row[1]):
                print(f"| {title} | {' | '.join(f'{100 * value:.1f}' for value in values)} |")
            truth = [row[1] for row in rows]
            for name, correlate in (("Spearman", spearmanr), ("Kendall", kendalltau)):
                found = [correlate(truth, [row[2 + place] for row in rows]).statistic for place in range(len(CRITERIA))]
                print(f"| {name} |  | {' | '.join(f'{value:.2f}' for value in found)} |", flush=True)


if __name__ == "__main__":
    main()
