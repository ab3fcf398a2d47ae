"""The page of a ranking escapes what it shows, and holds no address."""

import re

import pytest

from coarsecon.errors import InputError
from coarsecon.report.ranking import RankingCell, write_ranking


def test_the_page_escapes_names_and_marks_the_best(tmp_path):
    path = tmp_path / "page.html"
    rows = [[RankingCell("<b>one</b>"), RankingCell("50", 0.5, is_best=True)], [RankingCell("two"), RankingCell("–")]]
    write_ranking(path, ["name", "score"], rows, [], [("<i>", "no & weights")], title="<t>", subtitle="s", about="a")
    text = path.read_text()
    assert "&lt;b&gt;one&lt;/b&gt;" in text
    assert "&lt;i&gt;" in text
    assert "no &amp; weights" in text
    assert "<b>one" not in text
    assert text.count('class="number best"') == 1
    assert not re.search(r"https?://", text)


def test_other_files_are_not_overwritten(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(InputError, match="not a page made by coarsecon"):
        write_ranking(path, ["name"], [], [], title="t", subtitle="s")
