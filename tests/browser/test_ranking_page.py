"""The page of a ranking in a browser: it sorts by any column, and fetches nothing."""

import numpy as np

from coarsecon.pictures.rows import GalleryRow, Neighbor, Picture
from coarsecon.report.ranking import NeighborStrip, RankingCell, write_ranking


def test_headings_sort_and_missing_numbers_are_last(tmp_path, open_page):
    rows = [
        [RankingCell(name), RankingCell(str(value), value)] for name, value in [("b", 2.0), ("c", None), ("a", 10.0)]
    ]
    picture = Picture(np.zeros((8, 8, 3), np.uint8), "image", "coarse", "fine")
    strip = NeighborStrip("b", "about", [GalleryRow(picture, [Neighbor(picture, 0.5)])])
    write_ranking(tmp_path / "page.html", ["name", "score"], rows, [strip], title="Ranking", subtitle="few")
    with open_page(tmp_path / "page.html") as page:

        def names():
            return page.locator("tbody th").all_text_contents()

        assert names() == ["b", "c", "a"]
        page.get_by_role("button", name="score").click()
        assert names() == ["a", "b", "c"]
        page.get_by_role("button", name="score").click()
        assert names() == ["b", "a", "c"]
        page.get_by_role("button", name="name").click()
        assert names() == ["a", "b", "c"]
        assert page.locator(".gallery figure").count() == 2
