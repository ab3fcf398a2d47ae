"""Features to a map of two dimensions."""

import torch
from torch import Tensor


def project(features: Tensor, *, seed: int = 0) -> Tensor:
    """Points [N, 2] of features [N, D]: t-SNE by scikit-learn where it is installed, else the principal plane."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return principal_plane(features)
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, metric="cosine", random_state=seed)
    return torch.from_numpy(tsne.fit_transform(features.double().numpy()))


def principal_plane(features: Tensor) -> Tensor:
    """The first two principal components [N, 2] of features [N, D]."""
    centred = features - features.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T
