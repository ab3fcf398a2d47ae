"""The losses as plain loops over one pair at a time, written from their equations, with the signatures of the package.

Slow, for small problems in float64. A target is a list of weights, the first for the own key, then one per queue entry.
"""

import math
from collections.abc import Callable, Iterable
from itertools import product

import torch
from torch import Tensor

Target = Callable[[int, Tensor], list[float]]
"""(place in the batch, its unit-norm key) -> weights, of any sum."""


def unit(vector: Tensor) -> Tensor:
    length = vector.norm()
    return vector / length if length > 0 else 0 * vector


def log_sum_exp(logits: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(logits)).logsumexp(0)


def mean(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()


def softmax(values: list[float]) -> list[float]:
    exponentials = [math.exp(value - max(values)) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def normed(weights: list[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def similarities(key: Tensor, queue: Tensor, t: float) -> list[float]:
    return [float(key @ u) / t for u in queue]


def momentum_contrast(q: Tensor, k: Tensor, queue: Tensor, t: float, target: Target) -> Tensor:
    """The mean of - sum_j z_ij log softmax(l_i)_j with logits l_i = [s(q_i, k_i), s(q_i, u_1), ...] / t."""
    losses = []
    for i, (query, key) in enumerate(zip(map(unit, q), map(unit, k.detach()), strict=True)):
        logits = [query @ key / t, *[query @ u / t for u in queue]]
        weights = normed(target(i, key))
        total = log_sum_exp(logits)
        losses.append(sum((z * (total - logit) for z, logit in zip(weights, logits, strict=True)), torch.zeros(())))
    return mean(losses)


def alone(queue: Tensor) -> list[float]:
    return [1.0] + [0.0] * len(queue)


def moco_loss(q, k, queue, *, t, hard_negatives=None, alpha=1.0):
    if hard_negatives is None:
        return momentum_contrast(q, k, queue, t, lambda i, key: alone(queue))
    losses = []
    for query, key, negatives in zip(map(unit, q), map(unit, k), hard_negatives, strict=True):
        logits = [query @ key / t, *[query @ u / t for u in queue]]
        logits += [alpha * (query @ unit(negative)) / t for negative in negatives]
        losses.append(log_sum_exp(logits) - logits[0])
    return mean(losses)


def maskcon_loss(q, k, labels, queue, queue_labels, *, w, t0, t):
    def target(i: int, key: Tensor) -> list[float]:
        same = [j for j in range(len(queue)) if queue_labels[j] == labels[i]]
        masked = [0.0] * len(queue)
        if same:
            p = softmax(similarities(key, queue[same], t))
            for j, value in zip(same, p, strict=True):
                masked[j] = value / max(p)
        return [w * z + (1 - w) * a for z, a in zip(normed([1.0, *masked]), alone(queue), strict=True)]

    return momentum_contrast(q, k, queue, t0, target)


def grafit_loss(q, k, labels, queue, queue_labels, *, w, t0):
    supervised = momentum_contrast(
        q, k, queue, t0, lambda i, key: [1.0, *[float(label == labels[i]) for label in queue_labels]]
    )
    return w * supervised + (1 - w) * moco_loss(q, k, queue, t=t0)


def coins_loss(q, k, class_logits, labels, queue, *, w, t0):
    classification = mean(log_sum_exp(row) - row[y] for row, y in zip(class_logits, labels, strict=True))
    return w * classification + (1 - w) * moco_loss(q, k, queue, t=t0)


def neighbour_target(s: list[float], n: int, kind: str) -> list[float]:
    """Weights of candidates with the similarities s (already divided by t2)."""
    p = softmax(s)
    entropy = -sum(x * math.log(x) for x in p if x > 0)
    confidence = 1 - entropy / math.log(len(p)) if len(p) > 1 else 1.0
    if kind == "ascl":
        return [min(1.0, n * confidence * x) for x in p]
    nearest = sorted(range(len(s)), key=lambda j: -s[j])[:n]
    share = confidence if kind == "ahcl" else 1.0
    return [share if j in nearest else 0.0 for j in range(len(s))]


def ascl_loss(q, k, queue, *, t1, t2, num_neighbors=1, kind="ascl"):
    def target(i: int, key: Tensor) -> list[float]:
        if kind == "moco" or len(queue) == 0:
            return alone(queue)
        return [1.0, *neighbour_target(similarities(key, queue, t2), num_neighbors, kind)]

    return momentum_contrast(q, k, queue, t1, target)


def ascl_byol_loss(p, k, *, t2, num_neighbors=1, kind="ascl"):
    losses, keys = [], [unit(key) for key in k.detach()]
    for i, prediction in enumerate(map(unit, p)):
        others = [j for j in range(len(keys)) if j != i]
        weights = {i: 1.0}
        if kind == "ascl" and others:
            s = similarities(keys[i], torch.stack([keys[j] for j in others]), t2)
            weights |= dict(zip(others, neighbour_target(s, num_neighbors, kind), strict=True))
        mass = sum(weights.values())
        losses.append(2 - 2 * sum((z / mass * (prediction @ keys[j]) for j, z in weights.items()), torch.zeros(())))
    return mean(losses)


def supcon_loss(features, labels=None, *, mask=None, temperature=0.07, base_temperature=0.07, contrast_mode="all"):
    def positive(i: int, j: int) -> bool:
        if mask is not None:
            return bool(mask[i, j])
        return i == j if labels is None else bool(labels[i] == labels[j])

    everything = list(product(range(features.shape[0]), range(features.shape[1])))
    losses = []
    for a in everything:
        if contrast_mode == "one" and a[1] != 0:
            continue
        logits = {x: features[a] @ features[x] / temperature for x in everything if x != a}
        positives = [logit for x, logit in logits.items() if positive(a[0], x[0])]
        if positives:
            total = log_sum_exp(logits.values())
            losses.append(-temperature / base_temperature * mean(logit - total for logit in positives))
        else:
            losses.append(0 * features.sum())
    return mean(losses)


def masked_simclr_loss(q, k, hard_negatives, *, t, alpha=1.0):
    n, views = len(q), [unit(view) for view in (*q, *k)]
    losses = []
    for a, anchor in enumerate(views):
        logits = [anchor @ other / t for b, other in enumerate(views) if b != a]
        logits += [alpha * (anchor @ unit(negative)) / t for negative in hard_negatives[a % n]]
        losses.append(log_sum_exp(logits) - anchor @ views[(a + n) % (2 * n)] / t)
    return mean(losses)


def ancor_loss(q, k, labels, class_weights, banks, *, t, kind="cst_by_class", metric="angular"):
    def seen(vector: Tensor, y: int) -> Tensor:
        return unit(unit(vector) - unit(class_weights[y].detach())) if metric == "angular" else unit(vector)

    losses = []
    for query, key, y in zip(q, k.detach(), labels.tolist(), strict=True):
        if kind == "cst_all":
            negatives = [unit(u) for u in banks]
        elif kind == "cst_by_class":
            negatives = [seen(u, y) for u in banks[y]]
        else:
            negatives = [seen(u, c) for c, bank in enumerate(banks) for u in bank]
        view = seen(query, y)
        logits = [view @ seen(key, y) / t, *[view @ u / t for u in negatives]]
        losses.append(log_sum_exp(logits) - logits[0])
    return mean(losses)
