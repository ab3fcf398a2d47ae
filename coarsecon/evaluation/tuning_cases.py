"""Measure tuned search settings: queries of one part of a dataset in a gallery of another."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.errors import InputError
from coarsecon.evaluation.paired_labels import paired_labels
from coarsecon.evaluation.pairing import WITHIN
from coarsecon.metrics.listed import listed_recall, order_scores, recall_within
from coarsecon.metrics.retrieval import with_several_classes
from coarsecon.run.facade import Run
from coarsecon.run.tuning import TunedFeatures, TunedGallery, Tuning
from coarsecon.search.exact import nearest
from coarsecon.search.items import ItemTable
from coarsecon.search.space import LIST_DEPTH

KS = (1, 5, 10)

HELD_OUT = 5
"""Every fifth image, at random, is held out as a query where no other split can be used."""

MAX_HELD_OUT = 5000

Values = dict[str, dict[str, Tensor]]
"""Recall of each query [Q], NaN where it does not count, by level and name."""


@dataclass(frozen=True)
class Part:
    """Images of a split: all of them, or those at the indices `rows`."""

    ref: SplitRef
    rows: Tensor | None = None

    def take(self, values: Tensor) -> Tensor:
        """Return the rows of this part from values [N, ...] of the split."""
        return values if self.rows is None else values[self.rows]

    def __str__(self) -> str:
        return self.ref.split if self.rows is None else f"{len(self.rows):,} images of {self.ref.split}"


@dataclass(frozen=True)
class Case:
    """Queries, and the gallery that they search; the two have no image in common."""

    queries: Part
    gallery: Part

    def measure(self, run: Run, tuning: Tuning) -> Values:
        """Return the recall of each query with these settings; see `retrieve` in docs/evaluations.md."""
        features, dataset = TunedFeatures(run.store, tuning), run.dataset
        sets = features.sets(lambda store: store.split(dataset, self.gallery.ref.split))
        gallery = TunedGallery(features, [self.gallery.take(rows) for rows in sets])
        asked = features.query_sets(dataset, self.queries.ref.split)
        queries = gallery.space([self.queries.take(rows) for rows in asked])
        index = gallery.index(ItemTable(names=[]))
        found = index.query(queries, LIST_DEPTH)
        scores = order_scores(found) if index.reorders else found.scores
        labels = self.labels()
        values = {level: listed_recall(scores, found.indices, pair, KS) for level, pair in labels.items()}
        if {"fine", "coarse"} <= labels.keys():
            others = _nearest_in_group(queries, index.vectors, labels["coarse"])
            within = recall_within(scores, found.indices, labels["fine"], labels["coarse"], others)
            counted = with_several_classes(labels["fine"], labels["coarse"])
            if counted.any():
                values[WITHIN] = {"recall@1": within.where(counted, torch.nan)}
        return values

    def labels(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the labels of queries and gallery at each level that both know."""
        pairs = paired_labels(self.queries.ref, self.gallery.ref)
        return {level: (self.queries.take(asked), self.gallery.take(among)) for level, (asked, among) in pairs.items()}


def tuning_cases(run: Run, split: str | None, gallery_split: str | None) -> tuple[Case, Case]:
    """Return the case to choose settings on, and the case to report; their queries have no image in common.

    The queries to choose on are the split val, or, where it is evaluated itself or missing, images held out of the
    gallery at random with a fixed seed. With one split, both sets of queries are held out of it.

    Raises:
        InputError: There is no such split, or it is too small.
    """
    dataset = run.dataset
    evaluated = split or run.default_split()
    searched = gallery_split or ("train" if "train" in dataset.splits else evaluated)
    for name in (evaluated, searched):
        dataset.split(name)  # an unknown split is reported here
    gallery = Part(SplitRef(dataset, searched))
    if evaluated != searched and "val" in dataset.splits and "val" not in (evaluated, searched):
        return Case(Part(SplitRef(dataset, "val")), gallery), Case(Part(SplitRef(dataset, evaluated)), gallery)
    choosing, reporting, rest = _held_out(len(dataset.split(searched)))
    if evaluated != searched:
        held_out, others = Part(gallery.ref, choosing), Part(gallery.ref, torch.cat([reporting, rest]))
        return Case(held_out, others), Case(Part(SplitRef(dataset, evaluated)), gallery)
    if not len(rest) or not len(choosing):
        raise InputError(dataset.root, f"{searched} is too small to hold out queries", "prepare a dataset with val")
    others = Part(gallery.ref, rest)
    return Case(Part(gallery.ref, choosing), others), Case(Part(gallery.ref, reporting), others)


def _held_out(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of two disjoint sets of queries, and of the rest."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    size = min(count // HELD_OUT, MAX_HELD_OUT)
    return order[:size], order[size : 2 * size], order[2 * size :]


def _nearest_in_group(queries: Tensor, gallery: Tensor, groups: Sequence[Tensor]) -> Tensor:
    """Return the index [Q] of the nearest gallery item of each query's group; -1 where there is none."""
    found = torch.full((len(queries),), -1)
    for group in groups[0][groups[0] >= 0].unique():
        asked, among = ((column == group).nonzero().flatten() for column in groups)
        if len(among):
            found[asked] = among[nearest(queries[asked], gallery[among], 1)[1][:, 0]]
    return found
