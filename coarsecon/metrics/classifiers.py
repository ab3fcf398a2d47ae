"""Few-shot classifiers: fit a handful of labeled features and predict the classes of others."""

import warnings
from typing import Literal

from torch import Tensor, cdist, from_numpy

from coarsecon.search.exact import l2_normalize

Classifier = Literal["logistic", "cosine", "nearest"]


def classify(name: Classifier, support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
    """Predict the class [Q] of each query [Q, D] from support [S, D] with the classes support_y [S].

    The three classifiers of ANCOR (Bukchin et al., 2021):

    - logistic: the most probable class by `logistic_probabilities`.
    - cosine, nearest: the class of the support item with the largest cosine, or the smallest Euclidean distance. The
      two agree on features of length one.
    """
    if name == "logistic":
        return support_y.unique()[logistic_probabilities(support, support_y, query).argmax(1)]
    if name == "cosine":
        return support_y[(l2_normalize(query) @ l2_normalize(support).T).argmax(1)]
    return support_y[cdist(query, support).argmin(1)]


def logistic_probabilities(support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
    """Predict the probabilities [Q, C] of the C classes in support_y [S], in ascending order, for query [Q, D].

    scikit-learn's LogisticRegression (lbfgs, C = 1, at most 1000 iterations) in the data type of the features: it stops
    well before the optimum where classes are many and shots few, and published accuracies are those of this early stop.
    A single class has probability 1.
    """
    from sklearn.linear_model import LogisticRegression

    if len(support_y.unique()) == 1:
        return query.new_ones(len(query), 1)
    model = LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # expected with one shot
        model.fit(support.cpu().numpy(), support_y.cpu().numpy())
    return from_numpy(model.predict_proba(query.cpu().numpy())).to(query.device)
