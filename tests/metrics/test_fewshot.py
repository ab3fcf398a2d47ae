"""Few-shot accuracy against a naive loop, its interval, its protocols, and two models together."""

import math
import statistics
from typing import Any

import numpy as np
import pytest
import torch

from coarsecon.errors import InputError
from coarsecon.evaluation import sample_episode
from coarsecon.evaluation.support import augment
from coarsecon.metrics.fewshot import (
    Embedded,
    cascade,
    coarse_classes,
    concatenated,
    draw_episodes,
    ensemble,
    few_shot,
    predictor,
    without_small,
)
from coarsecon.nn.encoder import InputTransform
from coarsecon.views.batch import ImageBatch

LABELS = torch.arange(12).repeat(12)
COARSE = LABELS // 4


def embedded(seed: int, noise: float = 1.0, copies: int = 1) -> Embedded:
    """144 images of 12 classes, four to a coarse class, as unit features around the centers of their classes."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(12, 16, generator=generator)[LABELS]
    drawn = centers[:, None] + noise * torch.randn(len(LABELS), 1 + copies, 16, generator=generator)
    drawn = torch.nn.functional.normalize(drawn, dim=-1)
    return Embedded(drawn[:, 0], drawn[:, :1] if copies == 1 else drawn[:, 1:])


def test_accuracy_and_interval_are_those_of_a_naive_loop() -> None:
    model = embedded(0)
    accuracies = []
    for number in range(6):
        episode = sample_episode(LABELS.numpy(), number, ways=4, shots=2, queries=3)
        hits = 0
        for query, label in zip(episode.query, episode.query_y, strict=True):
            cosines = [float(model.query[query] @ model.query[item]) for item in episode.support]
            hits += int(episode.support_y[int(np.argmax(cosines))] == label)
        accuracies.append(hits / len(episode.query))
    found = few_shot(predictor(model, "cosine"), draw_episodes(LABELS, ways=4, shots=2, queries=3, episodes=6))
    assert 0.2 < found.accuracy < 1
    assert found.accuracy == pytest.approx(statistics.mean(accuracies))
    # 2.570582 is the 97.5% point of Student's t with 5 degrees of freedom.
    assert found.ci95 == pytest.approx(2.570582 * statistics.stdev(accuracies) / math.sqrt(6), rel=1e-6)
    assert found.by_episode == accuracies
    assert found.ways == 4


@pytest.mark.parametrize("classifier", ["logistic", "cosine", "nearest"])
def test_the_same_call_gives_the_same_and_well_told_classes_are_told(classifier: Any) -> None:
    first, again = (
        few_shot(predictor(embedded(1), classifier), draw_episodes(LABELS, queries=5, episodes=5)) for _ in range(2)
    )
    assert first == again
    reported = predictor(embedded(1, noise=0.05), classifier)
    assert few_shot(reported, draw_episodes(LABELS, queries=5, episodes=5)).accuracy == 1


def test_all_way_has_every_class() -> None:
    episodes = draw_episodes(LABELS, ways="all", queries=5, episodes=3)
    assert few_shot(predictor(embedded(0), "cosine"), episodes).ways == 12


def test_within_a_coarse_class_its_children_are_the_ways() -> None:
    episodes = draw_episodes(LABELS, ways=5, queries=5, episodes=8, coarse=COARSE)
    found = few_shot(lambda episode: torch.from_numpy(episode.query_y), episodes)
    assert (found.accuracy, found.ways) == (1, 4)
    seen = [set(COARSE[episode.query].tolist()) for episode in episodes]
    assert all(len(classes) == 1 for classes in seen)
    assert len(set.union(*seen)) > 1


def test_a_coarse_class_of_one_fine_class_is_never_drawn() -> None:
    """Its episodes would all be right."""
    coarse = torch.where(LABELS < 3, LABELS, 3)
    episodes = draw_episodes(LABELS, ways="all", shots=1, queries=2, episodes=20, coarse=coarse)
    assert all((LABELS[torch.from_numpy(episode.query)] >= 3).all() for episode in episodes)


def test_copies_of_a_support_image_share_its_class() -> None:
    model = embedded(0, copies=3)
    episode = sample_episode(LABELS.numpy(), 0, ways=3, shots=2, queries=4)
    support, classes, query = model.of(episode)
    assert classes.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert torch.equal(support[3:6], model.support[episode.support[1]])
    assert torch.equal(query, model.query[episode.query])


def test_an_ensemble_takes_the_geometric_mean() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    first, second = embedded(0, 2.0), embedded(1, 2.0)
    episode = sample_episode(LABELS.numpy(), 0, ways=5, shots=1, queries=8)
    mean = 1.0
    for model in (first, second):
        fitted = linear.LogisticRegression(max_iter=1000).fit(model.query[episode.support], episode.support_y)
        mean = mean * np.sqrt(fitted.predict_proba(model.query[episode.query]))
    assert ensemble(first, second)(episode).tolist() == mean.argmax(1).tolist()


def test_concatenated_features_compare_by_the_sum_of_cosines() -> None:
    first, second = embedded(0, 2.0), embedded(1, 2.0)
    episode = sample_episode(LABELS.numpy(), 0, ways=5, shots=2, queries=8)
    sums = sum(model.query[episode.query] @ model.query[episode.support].T for model in (first, second))
    expected = episode.support_y[sums.argmax(1)]
    assert predictor(concatenated(first, second), "cosine")(episode).tolist() == expected.tolist()


def test_a_cascade_compares_within_the_coarse_class_and_with_all_where_that_has_none() -> None:
    fine = embedded(0, 2.0)
    coarse = COARSE.clone()
    episode = sample_episode(LABELS.numpy(), 0, ways=6, shots=1, queries=8)
    coarse[episode.query[:2]] = 99
    expected = []
    for query in episode.query:
        cosines = fine.query[episode.support] @ fine.query[query]
        among = coarse[episode.support] == coarse[query]
        expected.append(int(cosines.where(among | ~among.any(), -2).argmax()))
    predicted = cascade(Embedded(coarse, coarse[:, None]), fine, "cosine")(episode).tolist()
    assert predicted == expected
    assert predicted != predictor(fine, "cosine")(episode).tolist()


def test_coarse_classes_are_learned_from_labeled_training_features() -> None:
    model = embedded(0, 0.1, copies=2)
    known = torch.where(torch.arange(len(COARSE)) < 72, COARSE, -1)
    found = coarse_classes(model, model.query, known)
    assert torch.equal(found.query, COARSE)
    assert torch.equal(found.support, COARSE[:, None].expand(-1, 2))
    with pytest.raises(InputError, match="training split"):
        coarse_classes(model, model.query, torch.full_like(COARSE, -1))


@pytest.mark.parametrize(
    ("labels", "options", "says"),
    [
        (LABELS, {"ways": 13}, r"ways: 13 exceeds the number of fine classes \(12\)"),
        (LABELS, {"queries": 12}, "has 12 images.* 12 query"),
        (torch.full_like(LABELS, -1), {}, "no image has one"),
        (torch.zeros_like(LABELS), {"ways": "all"}, "at least two fine classes; found 1"),
        (LABELS, {"coarse": LABELS}, "no coarse class has two fine classes"),
    ],
)
def test_what_cannot_be_drawn_is_told(labels: torch.Tensor, options: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        draw_episodes(labels, **{"queries": 5, "episodes": 2, **options})


def test_classes_with_too_few_images_can_be_left_out() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2, -1])
    kept, skipped = without_small(labels, 2)
    assert kept.tolist() == [0, 0, 0, -1, 2, 2, -1]
    assert skipped == 1
    assert without_small(labels, 4)[0].unique().tolist() == [-1]


def test_a_single_episode_has_no_interval() -> None:
    with pytest.raises(InputError, match="episodes: must be at least 2"):
        few_shot(predictor(embedded(0), "cosine"), draw_episodes(LABELS, queries=5, episodes=1))


def square_of(size: int, **framing: Any) -> InputTransform:
    return InputTransform(size=size, mean=(0, 0, 0), std=(1, 1, 1), **framing)


@pytest.mark.parametrize("side", [28, 32, 64])
def test_small_images_are_mirrored_half_of_the_time_and_not_cropped(side: int) -> None:
    pixels = torch.randint(0, 256, (400, 3, side, side), dtype=torch.uint8)
    copies = augment(ImageBatch.full(pixels), square_of(side), torch.Generator().manual_seed(0), small=True).pixels
    plain = (copies == pixels).flatten(1).all(1)
    assert torch.equal(copies[~plain], pixels[~plain].flip(3))
    assert 0.4 < plain.float().mean() < 0.6


def test_at_84_px_images_move_by_at_most_eight_pixels_and_half_are_mirrored() -> None:
    pixels = torch.zeros(400, 3, 84, 84, dtype=torch.uint8)
    pixels[:, :, 42, 30] = 200
    moved = augment(ImageBatch.full(pixels), square_of(84), torch.Generator().manual_seed(0), small=True).pixels
    row, column = (moved[:, 0].flatten(1).argmax(1) // 84, moved[:, 0].flatten(1).argmax(1) % 84)
    assert (moved[:, 0].flatten(1).max(1).values == 200).all()
    assert set((row - 42).tolist()) == set(range(-8, 9))
    # Seen at column 30 or, mirrored, at 53, and up to eight pixels from there.
    assert (column.min(), column.max()) == (22, 61)
    assert 0.4 < (column < 42).float().mean() < 0.6


def test_of_large_images_seven_eighths_of_each_side_are_seen() -> None:
    ramp = torch.arange(128, dtype=torch.uint8).expand(200, 3, 64, 128)
    seen = augment(ImageBatch.full(ramp), square_of(56), torch.Generator().manual_seed(0), small=False).pixels.float()
    assert seen.shape == (200, 3, 56, 56)
    width = (seen[:, 0, 0, -1] - seen[:, 0, 0, 0]).abs()
    assert ((width > 104) & (width < 112)).all()
    assert seen.min() <= 2
    assert seen.max() >= 125


def test_copies_keep_the_aspect_ratio_where_the_input_transform_does() -> None:
    ramp, framing = torch.arange(128, dtype=torch.uint8).expand(200, 3, 64, 128), square_of(56, resize="shorter")
    seen = augment(ImageBatch.full(ramp), framing, torch.Generator().manual_seed(0), small=False).pixels.float()
    width = (seen[:, 0, 0, -1] - seen[:, 0, 0, 0]).abs()
    assert (width == 55).all()
