"""Find the sub-classes hidden inside each coarse class, for people to review and to name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from coarsecon.errors import InputError
from coarsecon.evaluation.base import Evaluation, EvaluationConfig, FileFormat, Metric, Result, Table, percent
from coarsecon.evaluation.figures import Clusters

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.discovery.base import Clustering
    from coarsecon.discovery.groups import Group
    from coarsecon.discovery.number import Evidence
    from coarsecon.run.facade import Run
    from coarsecon.search.collection import Collection

MAX_TABLE_ROWS = 40
"""Classes in the table; the JSON has all of them."""

SCORES = {"NMI": "nmi", "ARI": "ari", "acc.": "accuracy"}
"""Columns of the table, with their names in the JSON."""


def _parse_k(value: Any) -> Any:
    """Read a number from text, and refuse text that is not one of the known forms."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if isinstance(value, str) and not re.fullmatch(r"oracle|auto|\d+-\d+", value):
        raise ValueError("pass a number, a range such as 3-8, oracle, or auto")
    return value


class Cluster(Evaluation):
    """Cluster the images inside each class of a level, by default coarse, and propose a label for every image."""

    formats = (
        FileFormat("csv", "Table of proposed labels. Default: RUN/results/cluster.csv.", "results"),
        FileFormat("html", "Page of the clusters. Default: RUN/figures/cluster.html."),
        FileFormat("png", "Picture of the clusters. Default: RUN/figures/cluster.png."),
    )

    class Config(EvaluationConfig):
        """Settings of `cluster`."""

        k: Annotated[int | str, BeforeValidator(_parse_k)] = Field(
            "auto",
            description="Clusters in each class: a number, a range such as 3-8 to estimate in, oracle for as many as "
            "it has fine labels (or labels of another level that subdivides it), or auto for an estimate.",
            json_schema_extra={"metavar": "N|N-N|oracle|auto"},
        )
        total: int | None = Field(
            None, ge=1, description="Clusters in all classes together, if that is known; auto distributes them."
        )
        split: str = Field("train", description="Split to cluster.", json_schema_extra={"display": True})
        within: str = Field(
            "coarse", description="Label level inside whose classes images are clustered.",
            json_schema_extra={"metavar": "LEVEL"},
        )  # fmt: skip
        model: str = Field("temi", description="Clustering algorithm; `coarsecon plugins` lists all.")
        settings: tuple[str, ...] = Field(
            (), description="Setting of the algorithm, such as epochs=30; may be repeated.",
            json_schema_extra={"metavar": "KEY=VALUE"},
        )  # fmt: skip
        max_k: int = Field(15, ge=2, description="Largest estimate of auto.")
        restarts: int | None = Field(
            None, ge=1, description="Number of random initializations (restarts). Default: that of the algorithm."
        )
        images: int = Field(
            10, ge=1, description="Images of each cluster in the pictures.", json_schema_extra={"display": True}
        )
        seed: int = Field(0, ge=0, description="Random seed of the initializations and of the estimate.")

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Cluster a split, and measure the agreement with every other known label level."""
        from coarsecon.data.prepared.levels import dataset_hierarchy, level_below
        from coarsecon.data.prepared.split_ref import SplitRef
        from coarsecon.discovery.groups import find_clusters, images_by_class
        from coarsecon.runtime.extras import require_extra

        if isinstance(config.k, int) and config.k < 1:
            raise InputError("k", f"{config.k} is below 1", "pass a number of clusters, oracle or auto")
        clustering = _clustering(config)
        require_extra("maps", "sklearn", needed_by="clustering")
        labels = run.dataset.split(config.split).labels
        if config.within not in labels:
            raise InputError(
                "within", f"{run.dataset.root} has no {config.within!r} labels", f"it has {', '.join(labels)}"
            )
        below = level_below(dataset_hierarchy(run.dataset), config.within)
        coarse = labels[config.within]
        members = images_by_class(coarse)
        collection = run.collection(config.split)
        run.use(SplitRef(run.dataset, config.split), levels=[config.within])
        run.continue_on_first_rank()
        counts, evidence = _counts(run, config, collection.features, members, labels[below] if below else None)
        groups = find_clusters(
            collection.features, coarse, clustering, counts, evidence=evidence, seed=config.seed, reporter=run.reporter
        )
        found = agreement_with_labels(groups, collection, config.within, run.levels())
        if config.k == "auto" and all(group.count == 1 for group in groups):
            run.reporter.info(_nothing_stable(found, config.within))
        run.report_unlabeled(config.split, levels=[config.within], consequence="and are in no cluster")
        others = [level for level in found if level in labels]
        run.report_unlabeled(config.split, levels=others, consequence="and are left out of the agreement")
        settings = config.model_dump(include={"k", "total", "model", "settings", "within", "restarts", "seed"})
        return Result(
            metrics=[Metric(name, part[name], level) for level, part in found.items() if level != "classes"
                     for name in SCORES.values()],
            split=config.split,
            values={**found, **settings},
            default_split="train",
            tables=[_table(found, config.within, config.split)],
            figure=Clusters(
                groups, collection, config.within, config.split, config.images,
                title=f"Clusters inside each {config.within} class",
                subtitle=f"{config.split} images of {run.dataset.info.name} by {run.folder.root}; in each row the most "
                "typical images come first",
            ),
        )  # fmt: skip


def _clustering(config: Cluster.Config) -> "Clustering":
    """Return the algorithm with its settings.

    Raises:
        InputError: There is no such algorithm, or it has no such setting.
    """
    from coarsecon import registry
    from coarsecon.config import parse_assignments
    from coarsecon.discovery.base import Clustering
    from coarsecon.runtime.settings import validate

    chosen = registry.load_class(registry.CLUSTERINGS, config.model, Clustering)
    given = parse_assignments([f"settings.{each}" for each in config.settings]).get("settings", {})
    if config.restarts is not None:
        given["restarts"] = config.restarts
    clustering: Clustering = chosen(validate(chosen.Config, given, section="settings"))
    return clustering


def _counts(
    run: "Run", config: Cluster.Config, features: "Tensor", members: "Mapping[int, Tensor]", fine: "Tensor | None"
) -> "tuple[dict[int, int], dict[int, Evidence]]":
    """Return the number of clusters of each class, and what an estimate rests on."""
    from coarsecon.discovery.number import estimate_counts, known_counts, whiten_for_estimate

    if config.k == "oracle":
        return known_counts(members, fine), {}
    if isinstance(config.k, int):
        return dict.fromkeys(members, config.k), {}
    least, most = (1, config.max_k) if config.k == "auto" else map(int, str(config.k).split("-"))
    if not 1 <= least <= most:
        raise InputError("k", f"{config.k} is not a range of numbers of clusters", "write the smaller number first")
    classes = whiten_for_estimate(features, members)
    with run.reporter.progress("number of clusters", len(members), unit="coarse classes") as progress:
        return estimate_counts(
            classes, numbers=range(least, most + 1), total=config.total, seed=config.seed, progress=progress
        )


def agreement_with_labels(
    groups: "Sequence[Group]", collection: "Collection", level: str, levels: Sequence[str]
) -> dict[str, Any]:
    """Return the agreement of clusters with the other label levels in `levels` that are known, overall and by class.

    `{"fine": {"nmi": ..., ...}, "classes": [{"name": ..., "images": ..., "clusters": ..., "sizes": [...]}, ...]}`
    """
    import torch

    from coarsecon.discovery.groups import overall

    items = collection.items
    known = {name: torch.tensor(items.labels[name]) for name in items.labels if name in levels and name != level}
    found: dict[str, Any] = _agreements(overall(groups, len(items)), known)
    found["classes"] = []
    for group in groups:
        own: dict[str, Any] = {"name": items.class_names[level][group.label], "images": len(group.images)}
        own |= {"clusters": group.count, "sizes": group.clusters.bincount().tolist()}
        own["outliers"] = int(group.outlier.sum())
        if group.evidence is not None:
            own["evidence"] = asdict(group.evidence)
        inside = {name: labels[group.images] for name, labels in known.items()}
        found["classes"].append(own | _agreements(group.clusters, inside))
    return found


def _agreements(clusters: "Tensor", known: "Mapping[str, Tensor]") -> dict[str, Any]:
    from coarsecon.metrics.agreement import agreement

    scores = {name: agreement(clusters, labels) for name, labels in known.items()}
    return {name: score for name, score in scores.items() if score is not None}


def _nothing_stable(found: Mapping[str, Any], within: str) -> str:
    text = f"no stable split was found: every {within} class is one cluster; set k to a number to cluster anyway"
    if len(found) > 1:
        text += f". The row `all` then measures the agreement of the {within} labels"
    return text


def _table(found: Mapping[str, Any], within: str, split: str) -> Table:
    """Return a row for each class, the total last."""
    levels = [level for level in found if level != "classes"]
    columns = [
        within,
        "images",
        "clusters",
        *(f"{level} {title}" for level in levels for title in ["classes", *SCORES]),
    ]
    classes = found["classes"]
    total: dict[str, Any] = {key: sum(row[key] for row in classes) for key in ("images", "clusters")}
    total |= {"name": "all", **{level: found[level] for level in levels}}
    rows = []
    for row in [*classes[:MAX_TABLE_ROWS], total]:
        cells = [row["name"], f"{row['images']:,}", f"{row['clusters']:,}"]
        for level in levels:
            match = row.get(level)
            cells += [f"{match['classes']:,}", *(percent(match[key]) for key in SCORES.values())] if match else [""] * 4
        rows.append(cells)
    more = f"; {len(classes) - MAX_TABLE_ROWS} more classes are in the JSON" * (len(classes) > MAX_TABLE_ROWS)
    return Table(f"Clusters inside each {within} class of {split}, agreement in %{more}", columns, rows)
