"""The batched heads against a plain loop, the pick of the sweep, the shots, and the edges of the inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.metrics.interval import mean_and_interval, t_quantile_95
from coarsecon.runtime.progress import Progress, Reporter
from coarsecon.train import heads
from coarsecon.train import linear_probe as linear
from coarsecon.train.few_labels import draw_shots, few_label_probe
from coarsecon.train.heads import accuracies, cosine, train_heads
from coarsecon.train.linear_probe import PRESETS, held_out, linear_probe


def problem(count: int = 200, noise: float = 0.1, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features [N, 12] around a direction of each class, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    features = torch.eye(12)[labels] + noise * torch.randn(count, 12, generator=generator)
    return torch.nn.functional.normalize(features, dim=1), labels


@pytest.mark.parametrize("preset", ["sweep", "ascl"])
def test_progress_is_told_of_every_image_that_is_to_be_seen(preset: str) -> None:
    """Of 190,000 images a sweep learns for minutes."""
    told: list[int] = []
    totals: list[int | None] = []

    class Counted(Progress):
        def advance(self, amount: int = 1, note: str = "") -> None:
            told.append(amount)

    class Telling(Reporter):
        @contextmanager
        def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
            totals.append(total)
            yield Counted()

    features, labels = problem()
    linear_probe(features, labels, features, labels, preset=preset, epochs=3, reporter=Telling())
    assert totals == [sum(told)]
    assert len(told) >= 3


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("by_epoch", [False, True])
def test_one_of_many_heads_is_what_a_plain_loop_trains(nesterov: bool, by_epoch: bool) -> None:
    features, labels = problem(50, noise=0.5)
    rate = cosine if not by_epoch else PRESETS["moco"].rate
    heads = train_heads(
        features, labels, lrs=[0.1, 3.0, 1.0], decays=[0.0, 1e-2, 0.0], classes=5, epochs=5, batch_size=16,
        rate=rate, nesterov=nesterov, by_epoch=by_epoch, seed=3,
    )  # fmt: skip
    layer = torch.nn.Linear(12, 5)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=3.0, momentum=0.9, weight_decay=1e-2, nesterov=nesterov)
    generator = torch.Generator().manual_seed(3)
    for epoch in range(5):
        for step, batch in enumerate(torch.randperm(50, generator=generator).split(16)):
            optimizer.param_groups[0]["lr"] = 3.0 * rate(epoch / 5 if by_epoch else (epoch * 4 + step) / 20)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(features[batch]), labels[batch]).backward()
            optimizer.step()
    torch.testing.assert_close(heads[1, :-1], layer.weight.detach().T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(heads[1, -1], layer.bias.detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("supcon", {60: 0.2, 75: 0.04, 90: 0.008}), ("ascl", {60: 0.1, 80: 0.01}), ("moco", {60: 0.1, 80: 0.01})],
)
def test_presets_step_down_where_the_papers_do(name: str, steps: dict[int, float]) -> None:
    expected = [min([factor for step, factor in steps.items() if epoch >= step], default=1.0) for epoch in range(100)]
    assert [PRESETS[name].rate(epoch / 100) for epoch in range(100)] == pytest.approx(expected)


@pytest.mark.parametrize("preset", ["sweep", *PRESETS])
def test_separable_data_are_learnt_in_full(preset: str) -> None:
    probe = linear_probe(*problem(), *problem(seed=1), preset=preset, epochs=20)
    assert probe["top1"] == probe["top5"] == 1
    assert (probe["queries"], probe["classes"], probe["train_images"]) == (200, 5, 200)


def test_the_sweep_is_as_good_as_scikit_learns_logistic_regression_with_its_best_penalty() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    (train, labels), (test, test_labels) = problem(400, noise=0.5), problem(1000, noise=0.5, seed=1)
    fits = [linear_model.LogisticRegression(C=c, max_iter=1000).fit(train, labels) for c in (0.1, 1, 10, 100)]
    best = max(fit.score(test, test_labels) for fit in fits)
    assert 0.6 < best < 0.95
    assert linear_probe(train, labels, test, test_labels)["top1"] == pytest.approx(best, abs=0.02)


def test_accuracies_count_what_is_among_the_k_best() -> None:
    head = torch.cat([torch.eye(3), torch.zeros(1, 3)])
    features = torch.tensor([[3.0, 2.0, 1.0]] * 4)
    labels = torch.tensor([0, 1, 2, 1])
    heads = torch.stack([head, -head])
    assert accuracies(heads, features, labels, max_logits=12) == [0.25, 0.25]
    assert accuracies(heads, features, labels, 2, max_logits=12) == [0.75, 0.75]
    assert accuracies(heads, features, labels, 5) == [1, 1]


def test_the_sweep_picks_the_rate_that_learns() -> None:
    grid = [(0.0, 0.0), (5.0, 0.0), (5.0, 10.0)]
    probe = linear_probe(*problem(noise=0.3), *problem(noise=0.3, seed=1), grid=grid)
    assert (probe["lr"], probe["weight_decay"]) == (5.0, 0.0)
    assert probe["held_out_top1"] == max(cell["held_out_top1"] for cell in probe["grid"])


def test_the_pick_never_sees_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    score = linear.accuracies

    def recorded(weights: Tensor, features: Tensor, labels: Tensor, k: int = 1) -> list[float]:
        seen.append(labels)
        return score(weights, features, labels, k)

    for module in (linear, heads):
        monkeypatch.setattr(module, "accuracies", recorded)
    train, labels = problem(100)
    test, test_labels = problem(30, seed=1)
    first = linear_probe(train, labels, test, test_labels)
    assert [len(column) for column in seen] == [20, 30, 30]
    other = linear_probe(train, labels, -test, test_labels)
    assert other["grid"] == first["grid"]
    assert other["top1"] < first["top1"]


def test_the_held_out_part_has_a_fifth_of_each_class_and_leaves_some_to_learn() -> None:
    labels = torch.tensor([0] * 10 + [1] * 2 + [2] + [4] * 5)[torch.randperm(18)]
    aside = held_out(labels, 0)
    assert [int(aside[labels == label].sum()) for label in (0, 1, 2, 4)] == [2, 1, 0, 1]
    assert torch.equal(aside, held_out(labels, 0))
    assert any(not torch.equal(aside, held_out(labels, seed)) for seed in range(1, 9))


@pytest.mark.parametrize("preset", ["sweep", "moco"])
def test_unknown_labels_are_left_out(preset: str) -> None:
    train, labels = problem(100)
    test, test_labels = problem(50, seed=1)
    alone = linear_probe(train, labels, test, test_labels, preset=preset, epochs=5)
    unknown = torch.full((20,), -1)
    more = torch.cat([train, torch.randn(20, 12)]), torch.cat([labels, unknown])
    assert linear_probe(*more, test, torch.where(test_labels == 4, -1, test_labels), epochs=5)["queries"] == 40
    assert linear_probe(*more, test, test_labels, preset=preset, epochs=5) == alone
    with pytest.raises(InputError, match="training image"):
        linear_probe(train[:20], unknown, test, test_labels)
    with pytest.raises(InputError, match="no class has two"):
        linear_probe(train[:5], labels[:5], test, test_labels)


def test_shots_are_exact_and_differ_by_seed() -> None:
    labels = torch.tensor([0, 1, 2, -1] * 10)
    drawn = draw_shots(labels, 4, 0)
    assert labels[drawn].bincount().tolist() == [4, 4, 4]
    assert len(drawn.unique()) == 12
    assert torch.equal(drawn, draw_shots(labels, 4, 0))
    assert not torch.equal(drawn, draw_shots(labels, 4, 1))
    with pytest.raises(InputError, match="class 0: has 10 labeled training images"):
        draw_shots(labels, 11, 0)
    with pytest.raises(InputError, match="class rare: has 1 labeled training image,"):
        draw_shots(torch.tensor([0, 0, 1]), 2, 0, ["common", "rare"])


def test_few_labels_are_reported_with_their_interval() -> None:
    train, labels = problem(noise=0.6)
    test = problem(noise=0.6, seed=1)

    def once(few: Tensor, seed: int) -> dict[str, Any]:
        return linear_probe(train, few, *test, preset="moco", epochs=5, seed=seed)

    probe = few_label_probe(once, labels, shots=1, repeats=4)
    scores = [draw["top1"] for draw in probe["draws"]]
    assert len(set(scores)) > 1
    assert (probe["top1"], probe["ci95"]) == mean_and_interval(scores)
    assert (probe["train_images"], probe["shots_per_class"], probe["repeats"]) == (5, 1, 4)


def test_a_seed_gives_one_result() -> None:
    given = (*problem(noise=0.8), *problem(noise=0.8, seed=1))
    assert linear_probe(*given, epochs=3, seed=1) == linear_probe(*given, epochs=3, seed=1)
    assert linear_probe(*given, epochs=3, seed=1)["grid"] != linear_probe(*given, epochs=3, seed=2)["grid"]


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.70620), (2, 4.30265), (3, 3.18245), (4, 2.77645), (199, 1.97196), (999, 1.96234)]
)
def test_the_interval_is_students(freedom: int, quantile: float) -> None:
    assert t_quantile_95(freedom) == pytest.approx(quantile, abs=1e-5)
