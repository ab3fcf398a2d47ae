"""What is retrieved from what: a split within itself, or from another split or dataset; classes meet by name."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from coarsecon.comm import Comm
from coarsecon.data.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.evaluation.features import FeatureStore
from coarsecon.evaluation.query_ranks import Pairs, Search
from coarsecon.evaluation.retrieval import (
    Values,
    by_group,
    retrieval_values,
    summary,
    values_within,
)
from coarsecon.reporting import Reporter

WITHIN = "fine_within_coarse"


class Part(NamedTuple):
    """A split of a prepared dataset."""

    dataset: PreparedDataset
    split: str

    @property
    def checksum(self) -> str:
        """Of its images and labels: where it is the same, item i is the same image."""
        return self.dataset.info.splits[self.split].checksum

    @property
    def title(self) -> str:
        """Its name, for messages."""
        return f"{self.dataset.root}, {self.split}"


def measure_retrieval(store: FeatureStore, queries: Part, gallery: Part) -> dict[str, Any]:
    """Retrieval metrics of every level known on both sides, fine first.

    Where fine and coarse labels are known, also those of "fine_within_coarse", each query in its own coarse class
    alone, and "by_coarse_class": a list of what "fine" and "fine_within_coarse" are in each, the worst first.

    The ranks of the store share the queries out, and all have the whole result.

    Raises:
        InputError: no class name of a level is known on both sides, or a split cannot be read.
    """
    labels = paired_labels(queries, gallery)
    values = shared_values(search_between(store, queries, gallery), labels, store.comm, store.reporter)
    report: dict[str, Any] = {level: summary(values[level], labels[level][0]) for level in labels}
    if {"fine", "coarse"} <= labels.keys():
        fine, coarse = labels["fine"][0], labels["coarse"][0]
        if ((fine >= 0) & (coarse >= 0)).any():
            names = queries.dataset.info.levels["coarse"]
            report[WITHIN] = summary(values[WITHIN], fine, coarse >= 0)
            report["by_coarse_class"] = by_group({kind: values[kind] for kind in ("fine", WITHIN)}, fine, coarse, names)
    return report


def shared_values(search: Search, labels: Pairs, comm: Comm, reporter: Reporter = Reporter()) -> dict[str, Values]:
    """The metrics of each query at every level, and WITHIN coarse classes; each rank searches for a part of them."""
    if comm.world_size == 1:
        return _values(search, labels, reporter)
    count = len(search.queries)
    own = comm.part(count)
    part = Search(search.queries[own], search.gallery, search.own[own])
    found = _values(part, {level: (asked[own], among) for level, (asked, among) in labels.items()}, reporter)
    return {
        kind: {name: comm.gather_parts(value, count) for name, value in values.items()}
        for kind, values in found.items()
    }


def _values(search: Search, labels: Pairs, reporter: Reporter) -> dict[str, Values]:
    known = torch.stack([asked >= 0 for asked, _ in labels.values()])
    with reporter.progress("searching", int(known.any(0).sum()), "queries") as progress:
        values = retrieval_values(search, labels, progress=progress)
    if {"fine", "coarse"} <= labels.keys():
        both = (labels["fine"][0] >= 0) & (labels["coarse"][0] >= 0)
        with reporter.progress("searching within coarse classes", int(both.sum()), "queries") as progress:
            within = values_within(search, labels["fine"], labels["coarse"], progress=progress)
        uncounted = torch.full((len(search.queries),), torch.nan)
        values[WITHIN] = {name: within.get(name, uncounted) for name in (*values["fine"], "chance")}
    return values


def search_between(store: FeatureStore, queries: Part, gallery: Part) -> Search:
    """The features of both; a query is left out of a gallery that holds the very item."""
    asked = store.split(*queries).to(store.device)
    if queries.checksum == gallery.checksum:
        return Search.among(asked)
    own = torch.full((len(asked),), -1, device=store.device)
    return Search(asked, store.split(*gallery).to(store.device), own)


def paired_labels(queries: Part, gallery: Part) -> Pairs:
    """The labels of both at every level where they share a class, numbered as in the queries' dataset.

    Raises:
        InputError: there is no such level.
    """
    levels = sorted(queries.dataset.info.levels, key=lambda level: (level != "fine", level != "coarse", level))
    asked, among = (part.dataset.split(part.split).labels for part in (queries, gallery))
    names = [part.dataset.info.levels for part in (gallery, queries)]
    pairs = {
        level: (asked[level], renumbered(among[level], names[0][level], names[1][level]))
        for level in levels
        if level in among
    }
    pairs = {level: pair for level, pair in pairs.items() if _share_a_class(*pair)}
    if not pairs:
        same = queries.checksum == gallery.checksum
        where = queries.title if same else f"{queries.title} and {gallery.title} together"
        raise InputError(f"{where}: no level of labels is known" + ("" if same else ", or they share no class name"))
    return pairs


def renumbered(labels: Tensor, names: list[str], wanted: list[str]) -> Tensor:
    """labels [N], of classes called `names`, as numbers of the classes called `wanted`; others come after those."""
    place = {name: number for number, name in enumerate(wanted)}
    numbers = torch.tensor([place.get(name, len(wanted) + i) for i, name in enumerate(names)], dtype=torch.int64)
    return torch.where(labels >= 0, numbers[labels], -1)


def _share_a_class(one: Tensor, other: Tensor) -> bool:
    return bool(torch.isin(one[one >= 0], other[other >= 0]).any())
