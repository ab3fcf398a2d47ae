"""Audit a dataset: everything that is checked, and the result."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coarsecon.auditing.confident import LabelCheck, check_labels
from coarsecon.auditing.findings import PROPOSALS, Finding, Proposal, duplicate_findings, in_order, score_findings
from coarsecon.auditing.images import DatasetImages
from coarsecon.auditing.near_duplicates import NearDuplicates, feature_duplicates, hash_duplicates
from coarsecon.auditing.neighbors import find_neighbors, neighbor_distances, voters
from coarsecon.auditing.noise_test import NoiseTest, Reliability, relabel_margin, run_noise_tests
from coarsecon.auditing.quality import blur_scores, outlier_scores
from coarsecon.auditing.scan import Scan, scan_dataset
from coarsecon.auditing.settings import AuditConfig
from coarsecon.data.prepare.balance import LevelBalance, balance
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.run.facade import Run
from coarsecon.runtime.progress import Reporter

OUTLIER_NEIGHBORS = 10
"""Nearest neighbors to which the mean distance of an image is measured."""


@dataclass(frozen=True)
class LabelIssues:
    """Labels that disagree with the votes of neighbors.

    Attributes:
        check: Labels compared with votes.
        neighbors: Nearest images that are no near-duplicates, int64 [N, V], -1 where there is none.
        tests: How many wrong labels such a check finds in this dataset.
        relabel_margin: Smallest margin of labels that are proposed to be replaced; others are to be reviewed.
    """

    check: LabelCheck
    neighbors: NDArray[np.int64]
    tests: list[NoiseTest]
    relabel_margin: float

    def reliability(self) -> list[tuple[NoiseTest, Reliability]]:
        """Return the reliability of all issues in each test, and of those to replace if there are any."""
        reported = self.check.margin[self.check.is_issue]
        margins = [0.0, self.relabel_margin] if 0 < self.relabel_margin < np.inf else [0.0]
        return [(test, test.at(margin, reported)) for test in self.tests for margin in margins]


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        images: The images of all splits.
        config: Settings.
        run: Folder of the run, or "".
        scan: Measurements of the images.
        duplicates: Candidates for near-duplicates, and which are.
        labels: Wrong labels; None without a run, or without two classes.
        balance: Class sizes of each level in the training split.
        findings: All findings: by problem, the most certain first.
        skipped: Checks that were not possible, with the reason.
    """

    images: DatasetImages
    config: AuditConfig
    run: str
    scan: Scan
    duplicates: NearDuplicates
    labels: LabelIssues | None
    balance: dict[str, LevelBalance]
    findings: list[Finding]
    skipped: dict[str, str]

    def of(self, problem: str) -> list[Finding]:
        """Return the findings of a problem."""
        return [each for each in self.findings if each.problem == problem]

    def leaks(self) -> dict[tuple[str, str], int]:
        """Count for each pair of splits the images of the second one with a near-duplicate in the first."""
        pairs, splits = self.duplicates.found, self.images.splits
        names, found = self.images.split_names, {}
        for one in range(len(names)):
            for other in range(one + 1, len(names)):
                leaked = set(pairs.second[(splits[pairs.first] == one) & (splits[pairs.second] == other)].tolist())
                if leaked:
                    found[names[one], names[other]] = len(leaked)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of the audit."""
        counts, pairs = Counter(each.problem for each in self.findings), self.duplicates.found
        proposed = Counter(each.proposal for each in self.findings)
        return {
            "dataset": str(self.images.dataset.root),
            "run": self.run or None,
            "images": {name: len(split) for name, split in self.images.dataset.splits.items()},
            "level": self.images.level,
            "settings": self.config.model_dump(),
            "problems": {problem: counts[problem] for problem in PROPOSALS if problem not in self.skipped},
            "skipped": self.skipped,
            "proposals": {proposal: proposed[proposal] for proposal in ("exclude", "relabel", "review")},
            "leakage": {f"{first}/{second}": count for (first, second), count in self.leaks().items()},
            "near_duplicates": {
                "by": self.duplicates.by,
                "distance": self.duplicates.near,
                "pairs": len(pairs),
                "exact_pairs": int(pairs.is_exact.sum()),
                "images": len(np.union1d(pairs.first, pairs.second)),
                "altered_copies_found": self.duplicates.copies,
                "altered_images": self.duplicates.tested,
            },
            "label_tests": self.labels and [
                {"kind": test.kind, "changed": test.changed, "repetitions": test.repetitions, **each._asdict()}
                for test, each in self.labels.reliability()
            ],
            "imbalance": {level: asdict(each) | {"ratio": each.ratio} for level, each in self.balance.items()},
        }  # fmt: skip


def audit_dataset(
    dataset: PreparedDataset,
    run: Run | None = None,
    config: AuditConfig = AuditConfig(),
    *,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> Audit:
    """Audit all splits of a dataset.

    Args:
        dataset: The dataset.
        run: A run opened with this dataset, whose features find near-duplicates, wrong labels and outliers.
        config: Settings.
        workers: Number of processes that decode images.
        reporter: Receives progress.

    Raises:
        InputError: There is no such label level, or an image of which features are needed cannot be read.
    """
    reporter = reporter or Reporter()
    images = DatasetImages.of(dataset, config.level)
    scan = scan_dataset(dataset, workers=workers, reporter=reporter)
    is_read = ~np.isin(np.arange(len(images)), list(scan.broken))
    is_blank = is_read & (scan.contrast < config.blank)
    usable = is_read & ~is_blank
    findings = _quality_findings(images, scan, config, is_read, is_blank)
    skipped = dict[str, str]()
    if dataset.info.form == "array":
        skipped["tiny"] = "the dataset does not store the original size of its images"
    if run is None:
        duplicates = hash_duplicates(images, scan, usable, config.near, reporter, config.seed)
        labels = None
        skipped |= dict.fromkeys(("wrong label", "outlier"), "needs a run")
    else:
        features = torch.cat([run.features(split) for split in dataset.splits])
        neighbors = find_neighbors(features, config.k, reporter)
        duplicates = feature_duplicates(
            images, scan, usable, config.near, run, features, neighbors, reporter, config.seed
        )
        cosines, others = neighbors.others(duplicates.found, max(config.k, OUTLIER_NEIGHBORS))
        scores = outlier_scores(neighbor_distances(cosines, OUTLIER_NEIGHBORS))
        findings += score_findings("outlier", scores, usable & (scores > config.outlier))
        labels = _label_issues(images, cosines[:, : config.k], others[:, : config.k], config)
        if labels is None:
            skipped["wrong label"] = "needs two classes with images"
        else:
            findings += _label_findings(images, labels)
    findings += duplicate_findings(images, duplicates.found, scan.sizes)
    train = dataset.splits.get("train") or next(iter(dataset.splits.values()))
    columns = {level: column.numpy() for level, column in train.labels.items()}
    return Audit(
        images, config, "" if run is None else str(run.folder.root), scan, duplicates, labels,
        balance(columns, dataset.info.levels).levels, in_order(findings), skipped,
    )  # fmt: skip


def _quality_findings(
    images: DatasetImages, scan: Scan, config: AuditConfig, is_read: NDArray[np.bool_], is_blank: NDArray[np.bool_]
) -> list[Finding]:
    shorter = scan.sizes.min(axis=1).astype(np.float64)
    least = config.tiny or images.dataset.info.size / 2
    is_tiny = is_read & (shorter < least) & (images.dataset.info.form == "files")
    blur = blur_scores(np.where(is_read & ~is_blank & ~is_tiny, scan.sharpness, 0))
    return [
        *score_findings("broken", np.zeros(len(images)), ~is_read),
        *score_findings("blank", scan.contrast, is_blank),
        *score_findings("tiny", shorter, is_tiny),
        *score_findings("blurred", blur, blur > config.blur),
    ]


def _label_issues(
    images: DatasetImages, cosines: NDArray[np.float64], others: NDArray[np.int64], config: AuditConfig
) -> LabelIssues | None:
    labels, classes = images.labels, len(images.class_names)
    if len(np.unique(labels[labels >= 0])) < 2:
        return None
    voting = voters(cosines, others)
    check = check_labels(voting.votes(labels, classes), labels)
    tests = run_noise_tests(voting, labels, classes, fraction=config.noise, seed=config.seed)
    return LabelIssues(check, others, tests, relabel_margin(tests, check.margin[check.is_issue]))


def _label_findings(images: DatasetImages, issues: LabelIssues) -> list[Finding]:
    check, found = issues.check, []
    for image in np.flatnonzero(check.is_issue).tolist():
        margin, suggested = float(check.margin[image]), images.class_names[check.suggested[image]]
        proposal: Proposal = "relabel" if margin >= issues.relabel_margin else "review"
        found.append(Finding(image, "wrong label", margin, proposal, label=suggested))
    return found
