"""Clusters as proposals for people: a name for each, a table of every image, and the images that show them best."""

from collections.abc import Sequence

from coarsecon.data.prepared.fine_names import name_within
from coarsecon.discovery.groups import Group
from coarsecon.report.clusters import Cluster, ClusteredClass
from coarsecon.report.spreadsheet import csv_text
from coarsecon.search.collection import Collection

LARGEST = 120
"""Clusters that are shown at most; the table has all."""

COLUMNS = ("path", "coarse", "proposed", "typicality", "margin", "probability", "outlier", "fine", "split")


def proposed_table(groups: Sequence[Group], collection: Collection, level: str, split: str) -> str:
    """Every image with its proposed label, as CSV: by class, by cluster, and the most typical images first.

    The columns path, coarse, fine and split are those that `coarsecon prepare folder --table` reads: once names
    are in the column fine, the table is a dataset with fine labels.
    """
    items = collection.items
    rows: list[list[object]] = []
    for group in groups:
        name = items.class_names[level][group.label]
        place = {image: i for i, image in enumerate(group.images.tolist())}
        for cluster in range(group.count):
            for image in group.most_typical(cluster).tolist():
                i = place[image]
                margin = "" if group.margin[i].isnan() else round(float(group.margin[i]), 4)
                closeness: list[object] = [round(float(group.typicality[i]), 4), margin]
                closeness += [round(float(group.probability[i]), 4), "yes" if group.outlier[i] else ""]
                known = name_within(items.label("fine", image) or "", name)
                rows.append([items.names[image], name, proposed(name, cluster), *closeness, known, split])
    return csv_text(COLUMNS, rows)


def proposed(name: str, cluster: int) -> str:
    """The label proposed for a cluster of the coarse class called `name`."""
    return f"{name}-{cluster + 1}"


def shown(groups: Sequence[Group], collection: Collection, level: str, images: int) -> list[ClusteredClass]:
    """Every class with its clusters and their most typical images: of many clusters, the largest of each class."""
    limit = LARGEST if sum(group.count for group in groups) <= LARGEST else max(1, LARGEST // len(groups))
    return [_class(group, collection, level, images, limit) for group in groups]


def _class(group: Group, collection: Collection, level: str, images: int, limit: int) -> ClusteredClass:
    name = collection.items.class_names[level][group.label]
    facts = f"{_images(len(group.images))} in {group.count} cluster{'s' * (group.count > 1)}"
    if group.count > limit:
        facts += f", the largest {limit} shown"
    clusters = []
    for cluster in range(min(limit, group.count)):
        members = group.most_typical(cluster).tolist()
        lines = [
            f"{_images(len(members))}, {len(members) / len(group.images):.0%}",
            *_mostly(members, collection, level),
        ]
        pictures = [collection.picture(image) for image in members[:images]]
        clusters.append(Cluster(proposed(name, cluster), lines, pictures))
    return ClusteredClass(name, facts, clusters)


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _mostly(members: Sequence[int], collection: Collection, level: str) -> list[str]:
    """The most frequent fine label of the members, where some are known; none inside of fine classes."""
    if level == "fine":
        return []
    known = [label for image in members if (label := collection.items.label("fine", image)) is not None]
    if not known:
        return []
    most = max(sorted(set(known)), key=known.count)
    return [f"{known.count(most) / len(known):.0%} {most}"]
