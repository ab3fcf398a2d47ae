"""Prototypes of fine classes under those of coarse classes: SCGM-G (Ni et al., ICLR 2022) on cached features."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from coarsecon.config import Positive
from coarsecon.discovery.base import Clustering, ClusteringSettings, fitting
from coarsecon.discovery.kmeans import kmeans
from coarsecon.runtime.progress import Progress

TEMPERATURE, ALPHA, SHARPNESS, SINKHORN_ERROR = 0.1, 0.5, 25, 0.1
"""Temperature of the fine logits, weight of the fine terms, exponent of the probabilities that are balanced, and the
sum of relative changes at which balancing stops: those of the paper."""

MAX_SINKHORN_STEPS = 100


class SCGM(Clustering):
    """SCGM-G's loss on a linear projection, with equally large clusters over all classes."""

    class Config(ClusteringSettings):
        """Settings of SCGM."""

        dim: int = Field(128, ge=2, description="Dimensions of the projection, at most those of the features.")
        epochs: int = Field(20, ge=1, description="Epochs.")
        epochs_per_assignment: int = Field(5, ge=1, description="Epochs between two assignments of images to clusters.")
        batch_size: int = Field(512, ge=2, description="Images in a step.")
        lr: Positive = Field(0.003, description="Learning rate of Adam.")

    def fit(
        self, classes: Sequence[Tensor], counts: Sequence[int], *, seed: int, progress: Progress = Progress()
    ) -> list[Tensor]:
        """Train the projection and the prototypes on all classes together; only the sum of the counts is kept.

        The projection starts at the principal components, the fine prototypes at the means of k-means inside every
        class. A cluster belongs to the coarse class of most of its images.
        """
        rows = torch.cat(list(classes))
        coarse = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(each) for each in classes]))
        config, generator = self.config, torch.Generator().manual_seed(seed)
        with fitting():
            projection = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -config.dim :].T.contiguous()
            means, projected = [], [F.normalize(features @ projection.T, dim=1) for features in classes]
            for features, k in zip(projected, counts, strict=True):
                means.append(torch.from_numpy(kmeans(features.numpy(), k, 4, seed).cluster_centers_).float())
            parameters = [projection, torch.cat(means), torch.stack([features.mean(0) for features in projected])]
            parameters = [each.clone().requires_grad_() for each in parameters]
            optimizer = torch.optim.Adam(parameters, lr=config.lr)
            batch = min(config.batch_size, len(rows))
            assigned = coarse
            for epoch in range(config.epochs):
                if epoch % config.epochs_per_assignment == 0:
                    with torch.no_grad():
                        assigned = balanced_assignment(_joint(rows, coarse, *parameters))
                order = torch.randperm(len(rows), generator=generator)
                for images in order[: len(order) // batch * batch].split(batch):
                    loss = scgm_loss(rows[images], coarse[images], assigned[images], *parameters)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        with torch.no_grad():
            joint = _joint(rows, coarse, *parameters)
        owner = _owner(balanced_assignment(joint), coarse, joint.shape[1], len(classes))
        found = []
        for label, own in enumerate(joint.split([len(each) for each in classes])):
            inside = owner == label
            found.append((own[:, inside] if inside.any() else own).softmax(1))
            progress.advance()
        return found


def _joint(rows: Tensor, coarse: Tensor, projection: Tensor, fine: Tensor, upper: Tensor) -> Tensor:
    """Return log p(z | x) p(y | z) [N, K] for the images' own coarse classes y."""
    log_fine = (F.normalize(rows @ projection.T, dim=1) @ F.normalize(fine, dim=1).T / TEMPERATURE).log_softmax(1)
    log_coarse = (F.normalize(fine, dim=1) @ F.normalize(upper, dim=1).T).log_softmax(1)
    return log_fine + log_coarse.T[coarse]


def scgm_loss(
    rows: Tensor, coarse: Tensor, assigned: Tensor, projection: Tensor, fine: Tensor, upper: Tensor
) -> Tensor:
    """Compute the loss of SCGM-G for images of features [N, D], averaged over them.

    Args:
        rows: Features [N, D].
        coarse: Coarse class [N].
        assigned: Cluster [N] of the last assignment.
        projection: Weights [E, D] of the projection.
        fine: Prototypes [K, E] of the clusters, normalized here.
        upper: Prototypes [C, E] of the coarse classes, normalized here.
    """
    projected = F.normalize(rows @ projection.T, dim=1)
    fine, upper = F.normalize(fine, dim=1), F.normalize(upper, dim=1)
    instance = F.cross_entropy(projected @ fine.T / TEMPERATURE, assigned)
    hierarchy = F.cross_entropy((fine @ upper.T)[assigned], coarse)
    return ALPHA * (instance + hierarchy) + F.cross_entropy(projected.relu() @ upper.T, coarse)


def balanced_assignment(log_p: Tensor) -> Tensor:
    """Return the cluster [N] of each image when all clusters get equally much of `log_p` [N, K] to the power 25.

    Sinkhorn-Knopp in logarithms: columns are scaled to N / K, then rows to 1, until the row factors change by less than
    `SINKHORN_ERROR` in relative sum, at most `MAX_SINKHORN_STEPS` times.
    """
    scaled = SHARPNESS * log_p.double()
    row = torch.zeros(len(scaled), 1, dtype=torch.float64)
    share = torch.log(torch.tensor(len(scaled) / scaled.shape[1], dtype=torch.float64))
    for _ in range(MAX_SINKHORN_STEPS):
        column = share - (scaled + row).logsumexp(0, keepdim=True)
        following = -(scaled + column).logsumexp(1, keepdim=True)
        change = ((row - following).exp() - 1).abs().sum()
        row = following
        if change < SINKHORN_ERROR:
            break
    return (scaled + column).argmax(1)


def _owner(assigned: Tensor, coarse: Tensor, clusters: int, classes: int) -> Tensor:
    """Return the coarse class [K] of most images of each cluster; -1 for an empty one."""
    table = torch.zeros(clusters, classes).index_put_((assigned, coarse), torch.ones(len(coarse)), accumulate=True)
    return torch.where(table.sum(1) > 0, table.argmax(1), -1)
