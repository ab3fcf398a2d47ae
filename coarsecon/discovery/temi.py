"""Linear heads trained so that neighbors agree: TEMI (Adaloglou et al., BMVC 2023) inside coarse classes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from coarsecon.config import Positive
from coarsecon.discovery.base import Clustering, ClusteringSettings, fitting
from coarsecon.discovery.features import (
    average_with_neighbors,
    cluster_scatter,
    nearest_neighbors,
    neighbor_scatter,
    whiten,
)
from coarsecon.discovery.kmeans import kmeans
from coarsecon.runtime.progress import Progress

TEACHER_MOMENTUM, MEAN_MOMENTUM = 0.99, 0.9
"""Momentum of the teacher's weights, and of the mean of its probabilities."""


class TEMI(Clustering):
    """TEMI: linear heads that start at k-means and learn to agree on neighbors; of several, the one of least loss."""

    class Config(ClusteringSettings):
        """Settings of TEMI."""

        restarts: int = Field(32, ge=1, description="Heads of each coarse class, started from different k-means.")
        neighbors: int = Field(50, ge=1, description="Nearest neighbors inside the coarse class.")
        average: int = Field(
            5, ge=0, description="Average each image with this number of nearest neighbors of its class first."
        )
        components: int = Field(256, ge=1, description="Dimensions after whitening by the differences of neighbors.")
        shrinkage: float = Field(3.0, ge=0, description="Shrinkage of the whitening; a large one keeps the features.")
        rounds: int = Field(
            2, ge=1, description="Trainings; from the second on, the scatter inside the clusters found whitens."
        )
        temperature: Positive = Field(0.1, description="Temperature of the softmax over cosines.")
        beta: float = Field(0.6, gt=0, le=1, description="Exponent of the agreement; below 1 it spreads the clusters.")
        epochs: int = Field(15, ge=1, description="Epochs.")
        batch_size: int = Field(512, ge=2, description="Images in a step.")
        lr: Positive = Field(0.01, description="Learning rate of Adam.")

    def fit(
        self, classes: Sequence[Tensor], counts: Sequence[int], *, seed: int, progress: Progress = Progress()
    ) -> list[Tensor]:
        """Train the heads of each class by themselves: logits of other classes are masked, so only whitening is shared.

        Whitening by differences of neighbors, and then by the scatter inside the clusters, is ours.
        """
        config, found = self.config, list[Tensor]()
        with fitting():
            within = neighbor_scatter(classes)
            for turn in range(config.rounds):
                whitened = whiten(classes, within, components=config.components, shrinkage=config.shrinkage)
                found = []
                for number, (features, k) in enumerate(zip(whitened, counts, strict=True)):
                    rows = average_with_neighbors(features, config.average)
                    found.append(_train(rows, k, config, seed=1000 * seed + number))
                    if turn == config.rounds - 1:
                        progress.advance()
                within = cluster_scatter(classes, [probabilities.argmax(1) for probabilities in found])
        return found


def _train(rows: Tensor, k: int, config: TEMI.Config, *, seed: int) -> Tensor:
    """Return the probabilities [M, k] of the head of least loss for centered features [M, D]."""
    if k == 1 or len(rows) <= k:
        return torch.eye(k)[torch.arange(len(rows)) % k]
    generator = torch.Generator().manual_seed(seed)
    starts = [kmeans(rows.numpy(), k, 1, seed + head).cluster_centers_ for head in range(config.restarts)]
    student = F.normalize(torch.stack([torch.from_numpy(start) for start in starts]).float(), dim=2)
    teacher, student = student.clone(), student.requires_grad_()
    neighbors = nearest_neighbors(rows, config.neighbors)
    optimizer = torch.optim.Adam([student], lr=config.lr)
    mean = _probabilities(rows, teacher, config.temperature).mean(0)
    batch = min(config.batch_size, len(rows))
    for _ in range(config.epochs):
        order = torch.randperm(len(rows), generator=generator)
        for images in order[: len(order) // batch * batch].split(batch):
            choice = torch.randint(neighbors.shape[1], (batch,), generator=generator)
            pairs = rows[torch.cat([images, neighbors[images, choice]])]
            with torch.no_grad():
                targets = _probabilities(pairs, teacher, config.temperature)
                mean.lerp_(targets.mean(0), 1 - MEAN_MOMENTUM)
            loss = temi_loss(_probabilities(pairs, student, config.temperature), targets, mean, config.beta)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            with torch.no_grad():
                teacher.lerp_(student, 1 - TEACHER_MOMENTUM)
    found = _probabilities(rows, teacher, config.temperature)
    return found[:, _whole_loss(found, neighbors, config.beta).argmin()]


def _whole_loss(probabilities: Tensor, neighbors: Tensor, beta: float) -> Tensor:
    """Return the loss [H] of probabilities [M, H, K] over all images and every fifth of their neighbors [M, k]."""
    mean = probabilities.mean(0)
    losses = []
    for column in neighbors.T[::5]:
        pairs = torch.cat([probabilities, probabilities[column]])
        losses.append(temi_loss(pairs, pairs, mean, beta))
    return torch.stack(losses).mean(0)


def _probabilities(rows: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Return the softmax [M, H, K] of the cosines of rows [M, D] with the prototypes [H, K, D] of each head."""
    cosines = torch.einsum("md,hkd->mhk", rows, F.normalize(prototypes, dim=2))
    return (cosines / temperature).softmax(2)


def temi_loss(student: Tensor, teacher: Tensor, mean: Tensor, beta: float) -> Tensor:
    """Compute the loss [H] of each head (Adaloglou et al., equations 6 and 8).

    -w log sum_c (s_c(x) t_c(x'))^beta / m_c, averaged over pairs and both orders of a pair, where w is the mean over
    heads of sum_c t_c(x) t_c(x').

    Args:
        student: Probabilities [2P, H, K] of the images and, after them, of a neighbor of each.
        teacher: Probabilities [2P, H, K] of the teacher, without gradient.
        mean: Mean [H, K] of the teacher's probabilities.
        beta: Exponent.
    """
    first, second = teacher.chunk(2)
    weights = (first * second).sum(2).mean(1)[:, None]
    crossed = torch.cat([second, first])
    agreement = ((student * crossed).clamp_min(1e-12).pow(beta) / mean).sum(2).log()
    return -(weights.repeat(2, 1) * agreement).mean(0)
