"""One classifier over all fine classes, and which of them belong to which coarse class: FALCON (Grcic et al., 2024)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from coarsecon.config import Positive
from coarsecon.discovery.base import Clustering, ClusteringSettings, fitting
from coarsecon.discovery.features import nearest_neighbors
from coarsecon.discovery.kmeans import kmeans
from coarsecon.runtime.progress import Progress

TEACHER_MOMENTUM, TEACHER_TEMPERATURE = 0.99, 0.9
"""Momentum of the teacher's weights, and the temperature that its logits are divided by."""

WEIGHTS = {"coarse": 0.5, "fine": 0.5, "entropy": 2.0}
"""Weights of the terms of the loss in the paper."""

STEPS_PER_MAP, SAMPLED_NEIGHBORS = 20, 5
"""Steps between two solutions of the map of fine to coarse classes; neighbors that each image is compared with."""


class FALCON(Clustering):
    """FALCON's loss on a linear classifier over the clusters of all classes, which it distributes over the classes."""

    class Config(ClusteringSettings):
        """Settings of FALCON."""

        neighbors: int = Field(20, ge=1, description="Nearest neighbors inside the coarse class.")
        temperature: Positive = Field(0.05, description="Temperature of the logits, which are cosines.")
        balance: float = Field(
            0.1, ge=0, description="Weight of equally many clusters per class in the first half of the epochs."
        )
        epochs: int = Field(20, ge=1, description="Epochs.")
        batch_size: int = Field(512, ge=2, description="Images in a step.")
        lr: Positive = Field(0.003, description="Learning rate of Adam.")

    def fit(
        self, classes: Sequence[Tensor], counts: Sequence[int], *, seed: int, progress: Progress = Progress()
    ) -> list[Tensor]:
        """Train the classifier on all classes together; the sum of the counts is kept, and each class has at least one.

        It starts at the means of k-means inside every class. The networks of the paper are trained with it; here the
        features stay as they are.
        """
        rows = torch.cat(list(classes))
        coarse = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(each) for each in classes]))
        first, neighbors, means = 0, [], []
        with fitting():
            for features, k in zip(classes, counts, strict=True):
                near = nearest_neighbors(features, self.config.neighbors)
                if near.shape[1] < self.config.neighbors:  # a small class: repeat its neighbors, or the only image
                    near = near if near.shape[1] else torch.zeros(len(features), 1, dtype=torch.int64)
                    near = near[:, torch.arange(self.config.neighbors) % near.shape[1]]
                neighbors.append(first + near)
                means.append(torch.from_numpy(kmeans(features.numpy(), k, 4, seed).cluster_centers_).float())
                first += len(features)
            start = F.normalize(torch.cat(means), dim=1)
            prototypes, owner = self._train(rows, coarse, torch.cat(neighbors), start, len(classes), seed)
        found = []
        for label, features in enumerate(classes):
            logits = features @ prototypes[owner == label].T / self.config.temperature
            found.append(logits.softmax(1))
            progress.advance()
        return found

    def _train(
        self, rows: Tensor, coarse: Tensor, neighbors: Tensor, start: Tensor, classes: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return the teacher's normalized prototypes [K, D], and the coarse class [K] of each."""
        config, generator = self.config, torch.Generator().manual_seed(seed)
        teacher, student = start.clone(), start.clone().requires_grad_()
        optimizer = torch.optim.Adam([student], lr=config.lr)
        owner, step = self._owner(rows, coarse, teacher, classes, config.balance), 0
        batch = min(config.batch_size, len(rows))
        for epoch in range(config.epochs):
            softness = (1 + math.cos(math.pi * epoch / config.epochs)) / 2
            order = torch.randperm(len(rows), generator=generator)
            for images in order[: len(order) // batch * batch].split(batch):
                chosen = torch.randint(neighbors.shape[1], (batch, SAMPLED_NEIGHBORS), generator=generator)
                near = rows[neighbors[images].gather(1, chosen)]
                own = owner == coarse[images][:, None]
                prototypes = F.normalize(student, dim=1)
                logits, near_logits = (each @ prototypes.T / config.temperature for each in (rows[images], near))
                with torch.no_grad():
                    targets = rows[images] @ F.normalize(teacher, dim=1).T / config.temperature
                loss = falcon_loss(logits, near_logits, targets, own, softness)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    teacher.lerp_(student, 1 - TEACHER_MOMENTUM)
                step += 1
                if step % STEPS_PER_MAP == 0:
                    balance = config.balance if epoch < config.epochs / 2 else 0.0
                    owner = self._owner(rows, coarse, teacher, classes, balance)
        return F.normalize(teacher, dim=1), self._owner(rows, coarse, teacher, classes, 0.0)

    def _owner(self, rows: Tensor, coarse: Tensor, prototypes: Tensor, classes: int, balance: float) -> Tensor:
        """Return the coarse class [K] of each prototype, by the probabilities of all images."""
        with torch.no_grad():
            probabilities = (rows @ F.normalize(prototypes, dim=1).T / self.config.temperature).softmax(1)
            gain = probabilities.T @ F.one_hot(coarse, classes).float() / len(rows)
        return torch.from_numpy(distribute(gain.numpy().astype(np.float64), balance))


def falcon_loss(logits: Tensor, near: Tensor, teacher: Tensor, own: Tensor, softness: float) -> Tensor:
    """Compute the loss of FALCON: its coarse, fine, neighbor and entropy terms, averaged over images.

    Args:
        logits: Logits [N, K] of the images.
        near: Logits [N, S, K] of sampled neighbors in the coarse class of each.
        teacher: Logits [N, K] of the teacher, without gradient.
        own: True [N, K] for the fine classes of each image's coarse class.
        softness: Weight of the soft target against the hard one, from 1 to 0 during training.
    """
    log_p = logits.log_softmax(1)
    coarse = -log_p.masked_fill(~own, -torch.inf).logsumexp(1).mean()
    soft = (teacher / TEACHER_TEMPERATURE).masked_fill(~own, -torch.inf).softmax(1)
    target = softness * soft + (1 - softness) * F.one_hot(soft.argmax(1), soft.shape[1])
    fine = -(target * log_p).sum(1).mean()
    agreement = -(log_p[:, None] + near.log_softmax(2)).logsumexp(2).mean()
    mean = log_p.exp().mean(0)
    entropy = math.log(len(mean)) + (mean * mean.clamp_min(1e-12).log()).sum()
    return WEIGHTS["coarse"] * coarse + WEIGHTS["fine"] * (fine + agreement) + WEIGHTS["entropy"] * entropy


def distribute(gain: NDArray[np.float64], balance: float) -> NDArray[np.int64]:
    """Assign each of K fine classes to one of C coarse classes, at least one to each.

    Maximizes sum gain[f, owner(f)] - balance * sum_c size_c^2 / C, exactly: the j-th fine class of a coarse class costs
    balance * (2j - 1) / C, which increases with j, so that the problem is an assignment of fine classes to places.

    Args:
        gain: Gain [K, C] of each assignment; K is at least C.
        balance: Weight of equal sizes.

    Returns:
        The coarse class [K] of each fine class.
    """
    from scipy.optimize import linear_sum_assignment

    fine, coarse = gain.shape
    places = fine - coarse + 1
    cost = np.repeat(-gain, places, axis=1)
    number = np.tile(np.arange(1, places + 1), coarse)
    cost = cost + balance * (2 * number - 1) / coarse
    cost[:, number == 1] -= np.abs(cost).sum() + 1  # the first place of every class is taken first
    return np.asarray(linear_sum_assignment(cost)[1] // places, dtype=np.int64)
