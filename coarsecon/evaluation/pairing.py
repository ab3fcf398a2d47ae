"""Measure retrieval within a split, or from another split or dataset."""

from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.prepared.unlabeled import unlabeled_note
from coarsecon.evaluation.frozen import compare_queries
from coarsecon.evaluation.mistakes import HIERARCHY, MIN_LEVELS, mistakes_report
from coarsecon.evaluation.paired_labels import nested_labels, paired_labels
from coarsecon.metrics.mistakes import DISTANCE_KS, hierarchical_distances
from coarsecon.metrics.query_ranks import LabelPairs, Search
from coarsecon.metrics.retrieval import (
    MetricValues,
    by_group,
    relevant_counts,
    retrieval_values,
    summary,
    values_within,
    with_several_classes,
)
from coarsecon.run.facade import Run
from coarsecon.run.features import FeatureStore
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.progress import Reporter

WITHIN = "fine_within_coarse"
"""Fine classes within the query's coarse class, over the queries whose coarse class has two or more in the gallery."""
WITHIN_ALL = "fine_within_coarse_all_queries"
"""The same over all queries, also those that are right because their coarse class has a single fine class."""

EXAMPLES = 3
"""Classes named in a message."""


def measure_split(
    session: Run,
    split: str | None = None,
    *,
    gallery_split: str | None = None,
    gallery_data: Path | None = None,
    initial: Run | None = None,
    level: str | None = None,
) -> tuple[dict[str, Any], str, str]:
    """Measure retrieval of a run as `measure_retrieval` does, and report training images and unknown labels.

    The gallery is the split itself unless another split or dataset is named. `initial` is the same run with the encoder
    that it started from, to compare with. `level` is the label level to measure, by default all of the dataset.

    Returns:
        The metrics, and the names of the split of queries and of the gallery, for titles.
    """
    levels = session.levels(level)
    queries = SplitRef(session.dataset, split or session.default_split(level))
    session.warn_if_trained_on(queries.split)
    other = session.dataset if gallery_data is None else open_dataset(gallery_data)
    gallery = SplitRef(other, gallery_split or queries.split)
    name = gallery.split if other is session.dataset else f"{other.root.name}-{gallery.split}"
    session.use(queries, gallery, levels=levels)
    metrics = measure_retrieval(
        session.store, queries, gallery, initial=initial.store if initial else None, level=level
    )
    session.report_unlabeled(queries.split, levels=levels, consequence="and are no queries")
    if gallery.checksum != queries.checksum:
        columns = gallery.dataset.split(gallery.split).labels
        for each in gallery.dataset.default_levels if level is None else {level} & columns.keys():
            if note := unlabeled_note(each, {name: columns[each]}, "and match no query"):
                session.reporter.info(note)
    return metrics, queries.split, name


def measure_retrieval(
    store: FeatureStore,
    queries: SplitRef,
    gallery: SplitRef,
    *,
    initial: FeatureStore | None = None,
    level: str | None = None,
) -> dict[str, Any]:
    """Retrieval metrics of every level known on both sides, fine first; with `level`, only of this one.

    "queries_without_match" counts the queries of a level without an item of their class to find. Where fine and coarse
    labels are known, there are also the metrics `WITHIN` (missing when no coarse class has two fine classes) and
    `WITHIN_ALL`, with the number of "coarse_classes" in each, and "by_coarse_class": a list of the metrics "fine" and
    `WITHIN` of each coarse class, the worst first. Where three levels or more form a hierarchy, the metrics of each
    level within its parent level are "LEVEL_within_PARENT", and those of `HIERARCHY` are distances in it. With the
    store of the `initial` encoder, "frozen" compares the two: see `compare_queries`.

    Each rank searches for a part of the queries; all return the complete result.

    Raises:
        InputError: no class of a level is known on both sides, or a split cannot be read.
    """
    labels = paired_labels(queries, gallery, level)
    chain = nested_labels(queries, gallery, level)
    search = search_between(store, queries, gallery)
    values = shared_values(search, labels, store.runtime.distributed, store.runtime.reporter, chain)
    report: dict[str, Any] = {}
    for each, pair in labels.items():
        missed = (pair[0] >= 0) & (relevant_counts(search.own.cpu(), *pair) == 0)
        report[each] = {**summary(values[each], pair[0]), "queries_without_match": int(missed.sum())}
        _report_missed(store.runtime.reporter, queries.dataset.info.levels[each], each, pair[0], missed)
    if {"fine", "coarse"} <= labels.keys():
        report |= _within_coarse(values, labels, queries.dataset.info.levels["coarse"], store.runtime.reporter)
    report |= _within_parents(values, labels, chain)
    if HIERARCHY in values:
        report[HIERARCHY] = mistakes_report(values[HIERARCHY], list(chain))
    if initial is not None:
        groups = [group for group in (*labels, WITHIN if WITHIN in report else WITHIN_ALL) if group in report]
        before = shared_values(search_between(initial, queries, gallery), labels, store.runtime.distributed)
        report["frozen"] = compare_queries(before, values, groups)
    return report


def _within_coarse(
    values: dict[str, MetricValues], labels: LabelPairs, names: list[str], reporter: Reporter
) -> dict[str, Any]:
    """Return the metrics within coarse classes, overall and for each class."""
    report: dict[str, Any] = {}
    (fine, _), (coarse, _) = labels["fine"], labels["coarse"]
    placed = (fine >= 0) & (coarse >= 0)
    several = placed & with_several_classes(labels["fine"], labels["coarse"])
    for kind, chosen in ((WITHIN, several), (WITHIN_ALL, placed)):
        if chosen.any():
            found = summary(values[kind], fine, chosen)
            report[kind] = {**found, "coarse_classes": len(coarse[chosen].unique())}
    if placed.any():
        kinds = {"fine": values["fine"], WITHIN: values[WITHIN_ALL]}
        report["by_coarse_class"] = by_group(kinds, fine, coarse, names)
        if not several.any():
            reporter.info(
                "no coarse class has two fine classes in the gallery, so fine within "
                "coarse is reported over all queries only"
            )
    return report


def _within_parents(values: dict[str, MetricValues], labels: LabelPairs, chain: LabelPairs) -> dict[str, Any]:
    """Return the metrics of each level within its parent, over the queries whose parent has two classes or more."""
    report: dict[str, Any] = {}
    for name, (level, above) in _nested_pairs(labels, chain).items():
        pair = chain[level]
        chosen = (pair[0] >= 0) & with_several_classes(pair, chain[above])
        if chosen.any():
            parents = len(chain[above][0][chosen].unique())
            report[name] = {**summary(values[name], pair[0], chosen), "parent_classes": parents}
    return report


def _nested_pairs(labels: LabelPairs, chain: LabelPairs) -> dict[str, tuple[str, str]]:
    """Return the levels that are measured within their parent level, `WITHIN` excepted, by the name of their part."""
    pairs = {f"{level}_within_{above}": (level, above) for above, level in pairwise(chain) if level in labels}
    return {name: pair for name, pair in pairs.items() if not (name == WITHIN and set(pair) <= labels.keys())}


def _report_missed(reporter: Reporter, names: list[str], level: str, labels: Tensor, missed: Tensor) -> None:
    """Report the queries that have nothing to find."""
    if not missed.any():
        return
    classes = [names[label] for label in labels[missed].unique().tolist()]
    some = ", ".join(classes[:EXAMPLES]) + ", ..." * (len(classes) > EXAMPLES)
    count, known = int(missed.sum()), int((labels >= 0).sum())
    reporter.info(
        f"{count:,} of {known:,} queries have no other image of their {level} class in the gallery "
        f"({len(classes):,} class{'es' * (len(classes) != 1)}: {some}); Recall@k and precision@k count them as misses, "
        "mAP@R and R-precision leave them out"
    )


def shared_values(
    search: Search,
    labels: LabelPairs,
    comm: Distributed,
    reporter: Reporter = Reporter(),
    chain: LabelPairs = MappingProxyType({}),
) -> dict[str, MetricValues]:
    """Compute the metrics of each query at every level, `WITHIN` coarse classes and `WITHIN_ALL`.

    With a `chain` of levels (see `nested_labels`), also within their parent levels, and as distances in it. Each rank
    searches for a part of the queries.
    """
    if comm.world_size == 1:
        return _values(search, labels, reporter, chain)
    count = len(search.queries)
    own = comm.shard(count)
    part = Search(search.queries[own], search.gallery, search.own[own])
    parts = [{level: (asked[own], among) for level, (asked, among) in pairs.items()} for pairs in (labels, chain)]
    found = _values(part, parts[0], reporter, parts[1])
    return {
        kind: {name: comm.gather_parts(value, count) for name, value in values.items()}
        for kind, values in found.items()
    }


def _values(search: Search, labels: LabelPairs, reporter: Reporter, chain: LabelPairs) -> dict[str, MetricValues]:
    every = {**labels, **chain}
    known = torch.stack([asked >= 0 for asked, _ in every.values()])
    with reporter.progress("searching", int(known.any(0).sum()), "queries") as progress:
        values = retrieval_values(search, every, progress=progress)
    has_within = {"fine", "coarse"} <= labels.keys()
    pairs = {**({WITHIN: ("fine", "coarse")} if has_within else {}), **_nested_pairs(labels, chain)}
    for name, (level, above) in pairs.items():
        both = (every[level][0] >= 0) & (every[above][0] >= 0)
        with reporter.progress(f"searching within {above} classes", int(both.sum()), "queries") as progress:
            within = values_within(search, every[level], every[above], progress=progress)
        uncounted = torch.full((len(search.queries),), torch.nan)
        found = {metric: within.get(metric, uncounted) for metric in (*values[level], "chance")}
        several = with_several_classes(every[level], every[above])
        values[name] = {metric: value.where(several, torch.nan) for metric, value in found.items()}
        if name == WITHIN and has_within:
            values[WITHIN_ALL] = found
    if len(chain) >= MIN_LEVELS:
        ks = [k for k in DISTANCE_KS if k == 1 or k < len(search.gallery)]
        values[HIERARCHY] = hierarchical_distances(values, list(chain), ks)
    return values


def search_between(store: FeatureStore, queries: SplitRef, gallery: SplitRef) -> Search:
    """The features of both; a query is left out of a gallery that holds the very item."""
    asked = store.split(*queries).to(store.device)
    if queries.checksum == gallery.checksum:
        return Search.among(asked)
    own = torch.full((len(asked),), -1, device=store.device)
    return Search(asked, store.split(*gallery).to(store.device), own)
