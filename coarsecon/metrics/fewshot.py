"""Few-shot accuracy over many episodes with one or two models: the protocol of ANCOR (Bukchin et al., 2021)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.metrics.classifiers import Classifier, classify, logistic_probabilities
from coarsecon.metrics.episodes import Episode, sample_episode
from coarsecon.metrics.interval import mean_and_interval
from coarsecon.runtime.progress import Reporter
from coarsecon.runtime.threads import single_threaded


class Embedded(NamedTuple):
    """Features of N images by one model: as queries [N, D], and as support in M copies each [N, M, D]."""

    query: Tensor
    support: Tensor

    def of(self, episode: Episode) -> tuple[Tensor, Tensor, Tensor]:
        """Return the support [S*M, D] of an episode, its classes [S*M], and the queries [Q, D]."""
        support = self.support[torch.from_numpy(episode.support)]
        classes = torch.from_numpy(episode.support_y).repeat_interleave(support.shape[1])
        return support.flatten(0, 1), classes, self.query[torch.from_numpy(episode.query)]


Predict = Callable[[Episode], Tensor]
"""Predicts the class within the episode [Q] of each of its queries."""


@dataclass(frozen=True)
class FewShot:
    """Mean accuracy over episodes as a fraction, half its 95% interval, and the largest number of ways."""

    accuracy: float
    ci95: float
    by_episode: list[float]
    ways: int


def draw_episodes(
    labels: Tensor,
    *,
    ways: int | Literal["all"] = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 1000,
    coarse: Tensor | None = None,
    names: Sequence[str] | None = None,
    level: str = "fine",
    parent: str = "coarse",
) -> list[Episode]:
    """Draw episodes 0 to `episodes` - 1 with `sample_episode`.

    Args:
        labels: Fine labels [N], -1 where unknown.
        coarse: Coarse labels [N]. If given, the ways of an episode are fine classes of one coarse class, all of them
            where it has fewer than `ways`; a coarse class with a single fine class is never drawn.
        names: Names of the fine classes, for errors.
        level: Label level of `labels`, for errors.
        parent: Label level of `coarse`, for errors.

    Raises:
        InputError: Fewer than two fine classes are known, or in no coarse class two; there are fewer classes than ways;
            or a class has fewer than `shots + queries` images.
    """
    classes = len(labels[labels >= 0].unique())
    if classes == 0:
        raise InputError(f"{level} labels", "no image has one", "label some images to evaluate few-shot accuracy")
    if coarse is None and ways != "all" and ways > classes:
        raise InputError("ways", f"{ways} exceeds the number of {level} classes ({classes})", "use fewer, or all")
    if classes == 1:
        raise InputError(f"{level} labels", f"few-shot evaluation needs at least two {level} classes; found 1")
    children = None if coarse is None else _children(labels, coarse)
    if children is not None and not children:
        subject = "fine_within_coarse" if (level, parent) == ("fine", "coarse") else "within"
        raise InputError(subject, f"no {parent} class has two {level} classes", "evaluate without it")
    return [
        sample_episode(
            labels.numpy(), number, ways=ways, shots=shots, queries=queries, coarse_to_fine=children, names=names
        )
        for number in range(episodes)
    ]


def without_small(labels: Tensor, images: int) -> tuple[Tensor, int]:
    """Set labels [N] of classes with fewer than `images` images to -1; also returns the number of these classes."""
    classes, counts = labels[labels >= 0].unique(return_counts=True)
    small = classes[counts < images]
    return labels.where(~torch.isin(labels, small), -1), len(small)


def few_shot(predict: Predict, episodes: Sequence[Episode], reporter: Reporter | None = None) -> FewShot:
    """Measure the accuracy of `predict` over at least two episodes.

    Raises:
        InputError: There are fewer than two episodes, which have no interval.
    """
    if len(episodes) < 2:
        raise InputError("episodes", "must be at least 2 for an interval")
    accuracies = []
    bar = (reporter or Reporter()).progress("few-shot", len(episodes), unit="episodes")
    with single_threaded(), bar as progress:
        for episode in episodes:
            accuracies.append(float(np.mean(predict(episode).numpy() == episode.query_y)))
            progress.advance()
    ways = max(int(episode.query_y[-1]) + 1 for episode in episodes)
    return FewShot(*mean_and_interval(accuracies), accuracies, ways)


def predictor(model: Embedded, classifier: Classifier = "logistic") -> Predict:
    """Classify with one model."""
    return lambda episode: classify(classifier, *model.of(episode))


def concatenated(first: Embedded, second: Embedded) -> Embedded:
    """Concatenate the features of two models."""
    return Embedded(*(torch.cat(pair, dim=-1) for pair in zip(first, second, strict=True)))


def ensemble(first: Embedded, second: Embedded) -> Predict:
    """Predict the class with the largest geometric mean of the logistic probabilities of two models."""

    def predict(episode: Episode) -> Tensor:
        one, two = (logistic_probabilities(*model.of(episode)) for model in (first, second))
        return (one * two).argmax(1)

    return predict


def cascade(coarse: Embedded, fine: Embedded, classifier: Classifier = "logistic") -> Predict:
    """Classify a query by its `fine` features among the support of its coarse class, or among all if there is none.

    Args:
        coarse: Predicted coarse classes instead of features, query [N] and support [N, M].
    """

    def predict(episode: Episode) -> Tensor:
        support, classes, query = fine.of(episode)
        support_coarse, _, query_coarse = coarse.of(episode)
        predicted = torch.empty(len(query), dtype=classes.dtype)
        for label in query_coarse.unique():
            asked, among = query_coarse == label, support_coarse == label
            if not among.any():
                among = torch.ones_like(among)
            predicted[asked] = classify(classifier, support[among], classes[among], query[asked])
        return predicted

    return predict


def coarse_classes(model: Embedded, train: Tensor, train_coarse: Tensor) -> Embedded:
    """Predict the coarse class of every image and copy by logistic regression on `train` [T, D] (-1: no label).

    Used in place of the classifier of a method that has none.
    """
    known = train_coarse >= 0
    if not known.any():
        raise InputError("combine", "a cascade needs coarse labels in the training split; no image has one")
    asked = torch.cat([model.query, model.support.flatten(0, 1)])
    predicted = classify("logistic", train[known], train_coarse[known], asked)
    count = len(model.query)
    return Embedded(predicted[:count], predicted[count:].view(count, -1))


def _children(labels: Tensor, coarse: Tensor) -> dict[int, list[int]]:
    """Return the fine classes of each coarse class that has at least two, both in ascending order."""
    known = (labels >= 0) & (coarse >= 0)
    children = {int(c): labels[known & (coarse == c)].unique().tolist() for c in coarse[known].unique()}
    return {c: fine for c, fine in children.items() if len(fine) > 1}
