"""Few-shot classifiers: learn from a handful of labeled features, and name the class of others."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from coarsecon.runtime.extras import require_extra
from coarsecon.search.exact import l2_normalize

Classifier = Literal["logistic", "cosine", "nearest"]


def classify(name: Classifier, support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
    """The class [Q] of each query [Q, D], learned from support [S, D] with the classes support_y [S].

    - logistic: the most probable class by `logistic_probabilities`.
    - cosine, nearest: the class of the support item with the largest cosine, or the smallest Euclidean
      distance. The two agree on features of length one.

    The three classifiers of ANCOR (Bukchin et al., 2021). Raises InputError for "logistic" without scikit-learn.
    """
    if name == "logistic":
        return support_y.unique()[logistic_probabilities(support, support_y, query).argmax(1)]
    if name == "cosine":
        return support_y[(l2_normalize(query) @ l2_normalize(support).T).argmax(1)]
    return support_y[torch.cdist(query, support).argmin(1)]


def logistic_probabilities(support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
    """Probabilities [Q, C] of the C classes that are in support_y [S], in ascending order, for query [Q, D].

    scikit-learn's LogisticRegression itself (lbfgs, C 1, at most 1000 iterations) and no solver of our own: it
    stops well before the optimum where classes are many and shots few, and published accuracies are those of
    the early stop. The features' type is the type it computes in. A class that is alone is certain.

    Raises InputError when scikit-learn is not installed.
    """
    require_logistic()
    from sklearn.linear_model import LogisticRegression

    if len(support_y.unique()) == 1:
        return query.new_ones(len(query), 1)
    model = LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # one shot is no mistake
        model.fit(support.cpu().numpy(), support_y.cpu().numpy())
    return torch.from_numpy(model.predict_proba(query.cpu().numpy())).to(query.device)


def require_logistic() -> None:
    """Raise InputError unless scikit-learn is installed."""
    require_extra(
        "maps", "sklearn.linear_model", needed_by="the logistic classifier", instead="use the cosine classifier"
    )
