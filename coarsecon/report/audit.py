"""An audit in words, as a table of proposals, and as a self-contained page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from coarsecon.auditing.audit import Audit
from coarsecon.auditing.findings import PROPOSALS, Finding, duplicate_findings
from coarsecon.auditing.near_duplicates import CANDIDATE_BITS, CANDIDATE_RATIO
from coarsecon.data.prepare.balance import Balance, counts_by_split
from coarsecon.pictures.rows import Picture
from coarsecon.report.page import Fragment, render, write_page
from coarsecon.report.spreadsheet import csv_text

COLUMNS = ("path", "split", "problem", "score", "proposal", "with")
"""Columns of the table of proposals; `with` is the image that is kept, or the suggested class."""

MAX_PAIRS, MAX_LABELS, MAX_TILES, NEIGHBORS = 160, 40, 36, 5
"""Pairs, label issues, and images per other problem on the page, and neighbors of each label issue."""
SHOWN_PROBLEMS = ("outlier", "broken", "blank", "tiny", "blurred")

MEANINGS = {
    "leakage": "near-duplicate in another split",
    "duplicate": "equal pixels in the same split",
    "near-duplicate": "near-duplicate in the same split",
    "wrong label": "label disagrees with neighbors",
    "outlier": "far from all other images",
    "broken": "cannot be read",
    "blank": "nearly constant",
    "tiny": "too few pixels",
    "blurred": "less sharp than the others",
}


def summary_rows(audit: Audit) -> list[list[str]]:
    """Return the number of images and the proposals for each problem: rows of a table."""
    return [
        [
            f"{problem}: {MEANINGS[problem]}",
            "–" if problem in audit.skipped else f"{len(audit.of(problem)):,}",
            _proposals(audit, problem, usual),
        ]
        for problem, usual in PROPOSALS.items()
    ]


def _proposals(audit: Audit, problem: str, usual: str) -> str:
    if problem in audit.skipped:
        return f"not checked: {audit.skipped[problem]}"
    counts = Counter(each.proposal for each in audit.of(problem))
    return (
        ", ".join(f"{proposal} {count:,}" for proposal, count in counts.items())
        if len(counts) > 1
        else (next(iter(counts), usual))
    )


def notes(audit: Audit) -> list[str]:
    """Return sentences on leakage, on how reliable the audit is, and on class imbalance."""
    found = [
        f"{count:,} {second} image{'s have' if count > 1 else ' has'} a near-duplicate in {first} (leakage)."
        for (first, second), count in audit.leaks().items()
    ]
    found += [duplicate_note(audit), *label_notes(audit)]
    return [each for each in [*found, *Balance(audit.balance, []).notes()] if each]


def duplicate_note(audit: Audit) -> str:
    """Return which altered copies are found at the distance of near-duplicates."""
    copies = audit.duplicates.copies
    if not copies:
        return ""
    shown = ", ".join(f"{recall:.0%} of those {kind}" for kind, recall in copies.items())
    return (
        f"Test of near-duplicates: of altered copies of {audit.duplicates.tested} images, a distance of up to "
        f"{audit.duplicates.near:g} finds {shown}."
    )


def label_notes(audit: Audit) -> list[str]:
    """Return how many wrong labels the tests reported, and how many reports are probably false alarms."""
    if audit.labels is None:
        return []
    found = []
    for test, each in audit.labels.reliability():
        score = f" with a score of at least {each.margin:g}" if each.margin else ""
        text = f"Test with {test.changed:,} labels changed to {test.kind} wrong classes: {each.recall:.0%} of them are "
        if each.precision is not None:
            text += (
                f"reported{score}. If as many labels of the dataset are wrong, {each.precision:.0%} of its "
                f"{each.reported:,} reports{score} are right."
            )
        else:
            most = f"{each.reported / each.recall:,.0f}" if each.recall else "any number of"
            text += (
                f"reported{score}. The dataset has {each.reported:,} reports, so that at most about {most} labels are "
                "wrong, perhaps none."
            )
        found.append(text)
    if found:
        found.append("With fewer wrong labels, more reports are false alarms: review them before you change labels.")
    return found


def proposals_table(audit: Audit) -> str:
    """Return all findings as CSV, with a proposal for each."""
    rows = []
    for each in audit.findings:
        split, _ = audit.images.place(each.image)
        other = each.label if each.other is None else audit.images.name(each.other)
        rows.append([audit.images.name(each.image), split, each.problem, round(each.score, 4), each.proposal, other])
    return csv_text(COLUMNS, rows)


class ShownPair(NamedTuple):
    """Pair on the page: its distance, its images with their splits, and whether it is within the chosen distance."""

    distance: float
    text: str
    pictures: Sequence[tuple[Picture, str]]
    is_leak: bool
    is_within: bool


class ShownLabel(NamedTuple):
    """Label issue on the page: the image, its split, suggested class, margin, and neighbors."""

    picture: Picture
    split: str
    suggested: str
    margin: str
    neighbors: Sequence[Picture]


class Sheet(NamedTuple):
    """Images with one problem: its name and meaning, the number of images, and the first of them with captions."""

    problem: str
    meaning: str
    total: int
    tiles: Sequence[tuple[Picture | None, str]]


def write_audit_page(path: Path, audit: Audit, *, command: str = "") -> None:
    """Write the self-contained page of an audit.

    Args:
        path: The file to write.
        audit: The audit.
        command: Command that repeats the audit with the distance appended to it, shown below the slider.

    Raises:
        InputError: `path` is a file that coarsecon did not make.
    """
    steps = slider_steps(audit)
    pairs = list(_shown_pairs(audit, [step["distance"] for step in steps]))
    info = audit.images.dataset.info
    counts = ", ".join(f"{split.count:,} {name}" for name, split in info.splits.items())
    body = render(
        "audit.html",
        title=f"Audit of {info.name}",
        subtitle=f"{counts} images; {f'features of {audit.run}' if audit.run else 'without a run'}.",
        summary=summary_rows(audit),
        notes=notes(audit),
        steps=steps,
        chosen=next((i for i, step in enumerate(steps) if step["distance"] >= audit.duplicates.near), len(steps) - 1),
        unit="different bits of the hashes"
        if audit.duplicates.by == "hash"
        else "bits of the hashes and 64 (1 - cosine)",
        command=command,
        pairs=pairs,
        all_pairs=len(audit.duplicates.pairs),
        labels=list(_shown_labels(audit)),
        label_count=len(audit.of("wrong label")),
        sheets=[sheet for problem in SHOWN_PROBLEMS if (sheet := _sheet(audit, problem)).total],
        balance=_balance_rows(audit),
        splits=audit.images.split_names,
        level=audit.images.level,
    )
    write_page(path, f"Audit of {info.name}", Fragment(body, ("audit.css",), ("audit.js",)), layout="audit")


def slider_steps(audit: Audit) -> list[dict[str, Any]]:
    """Return for each position of the slider its distance, and the numbers of pairs, images to exclude, and leaks."""
    pairs, near = audit.duplicates.pairs, audit.duplicates.near
    last = CANDIDATE_BITS if audit.duplicates.by == "hash" else np.floor(CANDIDATE_RATIO * near)
    steps = []
    for distance in np.union1d(np.arange(max(last, near) + 1), [near]).tolist():
        within = pairs.within(distance)
        found = duplicate_findings(audit.images, within, audit.scan.sizes)
        leaks = sum(each.problem == "leakage" for each in found)
        steps.append({"distance": distance, "pairs": len(within), "excluded": len(found), "leaks": leaks})
    return steps


def _shown_pairs(audit: Audit, distances: Sequence[float]) -> Iterator[ShownPair]:
    """Choose pairs evenly over the positions of the slider, first those in different splits."""
    pairs, splits = audit.duplicates.pairs, audit.images.splits
    is_leak = splits[pairs.first] != splits[pairs.second]
    steps = np.where(pairs.is_exact, -1, np.searchsorted(distances, pairs.distance))
    each = max(2, MAX_PAIRS // (len(distances) + 1))
    for step in np.unique(steps).tolist():
        places = np.flatnonzero(steps == step)
        places = places[np.argsort(~is_leak[places], kind="stable")][:each]
        for place in sorted(places.tolist()):
            both = (int(pairs.first[place]), int(pairs.second[place]))
            distance = float(pairs.distance[place])
            is_exact = bool(pairs.is_exact[place])
            yield ShownPair(
                0.0 if is_exact else distance,
                "equal" if is_exact else f"{distance:.3g}",
                [(audit.images.picture(image), audit.images.place(image)[0]) for image in both],
                bool(is_leak[place]),
                is_exact or distance <= audit.duplicates.near,
            )


def _shown_labels(audit: Audit) -> Iterator[ShownLabel]:
    for each in audit.of("wrong label")[:MAX_LABELS]:
        assert audit.labels is not None
        neighbors = [image for image in audit.labels.neighbors[each.image][:NEIGHBORS].tolist() if image >= 0]
        picture, split = audit.images.picture(each.image), audit.images.place(each.image)[0]
        shown = [audit.images.picture(image) for image in neighbors]
        yield ShownLabel(picture, split, each.label, f"{each.score:.2f}", shown)


def _sheet(audit: Audit, problem: str) -> Sheet:
    found = audit.of(problem)
    return Sheet(problem, MEANINGS[problem], len(found), [_tile(audit, each) for each in found[:MAX_TILES]])


def _tile(audit: Audit, each: Finding) -> tuple[Picture | None, str]:
    split, name = audit.images.place(each.image)[0], audit.images.name(each.image)
    if each.problem == "broken":
        return None, f"{split}, {name}: {audit.scan.broken[each.image]}"
    width, height = audit.scan.sizes[each.image].tolist()
    score = f"{width} x {height} px" if each.problem == "tiny" else f"{each.score:.3g}"
    return audit.images.picture(each.image), f"{split}, {score}"


def _balance_rows(audit: Audit) -> Sequence[tuple[str, Mapping[str, int], int]]:
    """Return each class with its images per split and in all, the smallest first."""
    if audit.images.level is None:
        return []
    columns = {name: split.labels[audit.images.level].numpy() for name, split in audit.images.dataset.splits.items()}
    counts = counts_by_split(columns, audit.images.class_names)
    return sorted(((name, row, sum(row.values())) for name, row in counts.items()), key=lambda row: (row[2], row[0]))
