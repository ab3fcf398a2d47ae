"""Sheets and pages of clusters: what is on them, that nothing in them runs or loads, and that they come out alike."""

import re

import numpy as np
from PIL import Image

from coarsecon.pictures.rows import Picture
from coarsecon.report.clusters import Cluster, ClusteredClass, write_cluster_page, write_cluster_sheet

HOSTILE = '<script>alert("x")</script>'


def classes(clusters: int = 2, images: int = 3) -> list[ClusteredClass]:
    rng = np.random.default_rng(0)
    pictures = [
        Picture(rng.integers(0, 255, (20 + 70 * (i % 2), 30, 3), dtype=np.uint8), f"{HOSTILE}{i}.jpg", "shoes", HOSTILE)
        for i in range(images)
    ]
    found = [Cluster(f"{HOSTILE}-{i}", ["12 images, 40%", f"90% {HOSTILE}"], pictures) for i in range(clusters)]
    return [ClusteredClass(HOSTILE, "30 images", found), ClusteredClass("bags", "1 image", found[:1])]


def test_the_page_shows_every_cluster_escaped_and_loads_nothing(tmp_path) -> None:
    page = tmp_path / "clusters.html"
    write_cluster_page(page, classes(), title=HOSTILE, subtitle=HOSTILE)
    text = page.read_text()
    assert "<script" not in text
    assert text.count("<article>") == 3
    assert text.count("<img") == 9
    assert 'href="#class-2"' in text
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)', text))
    first = page.read_bytes()
    write_cluster_page(page, classes(), title=HOSTILE, subtitle=HOSTILE)
    assert page.read_bytes() == first


def test_the_sheet_grows_with_clusters_and_images(tmp_path) -> None:
    sizes = []
    for clusters, images in ((1, 1), (4, 1), (4, 12)):
        write_cluster_sheet(tmp_path / "a.png", classes(clusters, images), title="Clusters", subtitle="of a run")
        sizes.append(Image.open(tmp_path / "a.png").size)
    assert sizes[0][0] == sizes[1][0] < sizes[2][0]
    assert sizes[0][1] < sizes[1][1] == sizes[2][1]


def test_a_sheet_of_nothing_is_still_a_picture(tmp_path) -> None:
    write_cluster_sheet(tmp_path / "a.png", [], title="x" * 500, subtitle="")
    assert Image.open(tmp_path / "a.png").size[0] > 0
