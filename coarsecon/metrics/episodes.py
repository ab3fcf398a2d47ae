"""Few-shot episodes, drawn as in the protocol of ANCOR."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coarsecon.errors import InputError

Indices = NDArray[np.int64]


class Episode(NamedTuple):
    """One N-way K-shot task with Q queries per class.

    `support` [N*K] and `query` [N*Q] index the images; `support_y` and `query_y` are the classes within the episode, 0
    to N - 1.
    """

    support: Indices
    support_y: Indices
    query: Indices
    query_y: Indices


def sample_episode(
    labels: ArrayLike,
    episode: int,
    *,
    ways: int | Literal["all"],
    shots: int,
    queries: int,
    coarse_to_fine: Mapping[int, Sequence[int]] | None = None,
    names: Sequence[str] | None = None,
) -> Episode:
    """Draw episode number `episode`; the same number always gives the same episode.

    The draws are those of NumPy's legacy generator seeded with `episode`, in the order of ANCOR (Bukchin et al., 2021):
    the coarse class, the ways, then for each way its support and its queries.

    Args:
        labels: Fine labels [N], -1 where unknown (never drawn).
        ways: Number of classes; with "all", or not fewer than there are classes, every class is used in order.
        coarse_to_fine: Fine classes of each coarse class. If given, a coarse class is drawn first, and the ways among
            its fine classes (intra-class protocol).
        names: Names of the fine classes, for errors.

    Raises:
        InputError: There is no class, or one has fewer than `shots + queries` images.
    """
    labels = np.asarray(labels)
    rng = np.random.RandomState(episode)
    if coarse_to_fine is None:
        classes = np.unique(labels[labels >= 0])
    else:
        children = list(coarse_to_fine.values())
        classes = np.asarray(children[rng.choice(len(children), 1, False)[0]])
    if len(classes) == 0:
        raise InputError("fine labels", "no image has one", "label some images")
    if ways != "all" and ways < len(classes):
        classes = rng.choice(classes, ways, False)

    support, query = [], []
    for label in classes:
        images = np.flatnonzero(labels == label)
        if len(images) < shots + queries:
            raise InputError(
                f"class {names[label] if names else label}",
                f"has {len(images)} image{'s' * (len(images) != 1)}, but an episode takes {shots} support and {queries}"
                " query images of each class",
                "use fewer shots or queries, or set skip_small",
            )
        chosen = rng.choice(len(images), shots, False)
        rest = np.delete(np.arange(len(images)), chosen)
        support.append(images[chosen])
        query.append(images[rng.choice(rest, queries, False)])
    places = np.arange(len(classes))
    return Episode(np.concatenate(support), np.repeat(places, shots), np.concatenate(query), np.repeat(places, queries))
