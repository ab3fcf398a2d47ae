"""Datasets at the limits: constant images only, and nothing to report."""

import numpy as np
from PIL import Image

import coarsecon
from coarsecon.auditing.quality import blur_scores, outlier_scores
from coarsecon.report.audit import proposals_table, write_audit_page


def test_constant_images_are_blank_and_duplicates_but_never_near_duplicates(tmp_path):
    folder = tmp_path / "photos" / "one"
    folder.mkdir(parents=True)
    for i, level in enumerate((255, 255, 0, 7)):
        Image.new("RGB", (120, 120), (level,) * 3).save(folder / f"{i}.png")
    coarsecon.prepare("folder", tmp_path / "data", source=folder.parent, size=112, workers=1)
    found = coarsecon.audit(tmp_path / "data", workers=1)
    assert [len(found.of(problem)) for problem in ("blank", "duplicate", "near-duplicate", "blurred")] == [4, 1, 0, 0]
    assert found.duplicates.copies == {}
    assert proposals_table(found).count("exclude") == 5
    write_audit_page(tmp_path / "page.html", found)
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_scores_are_robust_and_missing_where_nothing_is_known():
    sharpness = np.exp(np.append(np.linspace(4, 6, 21), 0))
    scores = blur_scores(np.append(sharpness, 0))
    assert scores[-2] > 5 > scores[:-2].max() > 0
    assert np.isnan(scores[-1])
    assert np.isnan(blur_scores(np.zeros(3))).all()
    distances = np.append(np.linspace(0.1, 0.3, 21), [0.9, np.nan])
    scores = outlier_scores(distances)
    assert scores[-2] > 3 > scores[:-2].max()
    assert np.isnan(scores[-1])
