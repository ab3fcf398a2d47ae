"""Agreement of clusters with known classes: NMI, ARI and the accuracy of the best assignment of classes to clusters."""

import warnings

from torch import Tensor


def agreement(clusters: Tensor, labels: Tensor) -> dict[str, float | int] | None:
    """Compare clusters [N] with labels [N]; negative ones are left out.

    Returns:
        None when no image has both a cluster and a label, else
        - "nmi": normalized mutual information with the arithmetic mean of the entropies (Strehl & Ghosh, 2002).
        - "ari": adjusted Rand index (Hubert & Arabie, 1985).
        - "accuracy": largest fraction of images whose cluster is assigned to their class, one-to-one (Kuhn, 1955).
        - "images", "classes" and "clusters": the numbers of each.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    known = (clusters >= 0) & (labels >= 0)
    if not known.any():
        return None
    found, truth = clusters[known].numpy(), labels[known].numpy()
    counts = contingency_matrix(truth, found)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        nmi, ari = normalized_mutual_info_score(truth, found), adjusted_rand_score(truth, found)
    assigned = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return {
        "nmi": float(nmi),
        "ari": float(ari),
        "accuracy": float(assigned / counts.sum()),
        "images": len(truth),
        "classes": counts.shape[0],
        "clusters": counts.shape[1],
    }
