"""Read the table of `coarsecon cluster` as the start of a review."""

from collections.abc import Iterable
from pathlib import Path

from coarsecon.data.formats.missing import LabelColumns
from coarsecon.data.formats.tables import clean, read_table
from coarsecon.errors import InputError
from coarsecon.review.operations import FORMAT_VERSION, Proposal, ProposedCluster
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.journals import utc_now

COLUMNS = ("path", "coarse", "proposed")
MAKE_ONE = "`coarsecon cluster RUN` makes one"


def find_proposal(run: RunFolder) -> Path:
    """Return the newest table of proposed clusters among the results of a run.

    Raises:
        InputError: There is none.
    """
    found = run.files(run.results, "cluster*.csv")
    if not found:
        raise InputError(run.root, "has no proposed clusters to review", f"`coarsecon cluster {run.root}` makes them")
    return max(found, key=lambda file: file.stat().st_mtime)


def read_proposal(table: Path, who: str) -> Proposal:
    """Read a table with the columns path, coarse and proposed, and optionally split, for `who` to review.

    Images stay in the order of the table, in which the most typical ones of a cluster come first. Images without a
    proposed label are left out.

    Raises:
        InputError: It cannot be read, has no such columns, or lists an image twice or images of several splits.
    """
    opened = read_table(table)
    if missing := [column for column in COLUMNS if column not in opened.columns]:
        raise InputError(table, f"no column {' or '.join(missing)}", MAKE_ONE)
    labels = LabelColumns()
    images: dict[str, int] = {}
    clusters: dict[tuple[str, str], list[int]] = {}
    splits: set[str] = set()
    for place, row in opened.rows:
        proposed = labels.label(row["proposed"])
        if not proposed or not row["path"]:
            continue
        if row["path"] in images:
            raise InputError(place, f"{row['path']} is listed twice", "remove one of the rows")
        splits.add(row.get("split") or "train")
        clusters.setdefault((row["coarse"], proposed), []).append(len(images))
        images[row["path"]] = len(images)
    if not images:
        raise InputError(table, "no image has a proposed label", MAKE_ONE)
    if len(splits) > 1:
        raise InputError(table, f"has images of {len(splits)} splits", "review the clusters of one split at a time")
    return Proposal(
        format_version=FORMAT_VERSION, split=splits.pop(), source=table.name, who=who, time=utc_now(),
        images=list(images),
        clusters=[ProposedCluster(coarse=coarse, label=label, images=found)
                  for (coarse, label), found in clusters.items()],
    )  # fmt: skip


def places_in(names: Iterable[str], proposal: Proposal, dataset: object) -> list[int]:
    """Return the index in the split with these image `names` of each image of a proposal.

    Raises:
        InputError: An image is missing, or its name occurs twice; `dataset` is the subject.
    """
    index: dict[str, int] = {}
    repeated: set[str] = set()
    for number, name in enumerate(map(clean, names)):
        if index.setdefault(name, number) != number:
            repeated.add(name)
    wrong = [name for name in proposal.images if name not in index or name in repeated]
    if wrong:
        raise InputError(
            dataset, f"{len(wrong):,} of {len(proposal.images):,} images under review, such as {wrong[0]}, are not in "
            f"its split {proposal.split}, or share their name with another image",
            "pass the dataset that was clustered, or start a new review under another name",
        )  # fmt: skip
    return [index[name] for name in proposal.images]
