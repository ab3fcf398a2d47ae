"""Page of a comparison of backbones: the table, and the nearest neighbors of the same queries by each backbone."""

from dataclasses import replace
from pathlib import Path

from coarsecon.backbones.compare import RankedBackbone, Ranking
from coarsecon.backbones.tables import COST_COLUMNS, cost_numbers, cost_texts, score_text, skipped_table
from coarsecon.report.ranking import NeighborStrip, RankingCell, write_ranking
from coarsecon.run.facade import Run
from coarsecon.run.searching import example_rows
from coarsecon.run.spec import Runtime
from coarsecon.runtime.progress import Reporter

QUERIES, NEIGHBORS = 4, 8
"""Queries of each backbone, and their neighbors."""

ABOUT = (
    "Scores in percent, with half the width of their 95% intervals; the best of each column is bold. Differences "
    "within the intervals may be due to the choice of queries: coarsecon report tests them on the same queries."
)


def write_backbones_page(path: Path, ranking: Ranking, runtime: Runtime = Runtime()) -> None:
    """Write the page of a ranking; features come from the caches of the runs.

    Raises:
        InputError: `path` is a file that coarsecon did not make.
    """
    shown = [each for each in ranking.backbones if not each.problem]
    skipped = skipped_table(ranking)
    info = ranking.dataset.info
    counts = ", ".join(f"{split.count:,} {name}" for name, split in info.splits.items())
    write_ranking(
        path,
        ["backbone", *ranking.titles, *COST_COLUMNS, "license"],
        [_cells(each, shown, ranking.titles) for each in shown],
        [_strip(each, ranking, replace(runtime, reporter=Reporter())) for each in shown],
        [(name, reason) for name, reason in skipped.rows] if skipped else [],
        title=f"Backbones on {info.name}",
        subtitle=f"{counts} images; ranked by {ranking.by}; click a heading to sort.",
        about=ABOUT,
    )


def _cells(backbone: RankedBackbone, shown: list[RankedBackbone], titles: list[str]) -> list[RankingCell]:
    cells = [RankingCell(backbone.name)]
    for title in titles:
        metric = backbone.scores.get(title)
        best = max(each.scores[title].value for each in shown if title in each.scores)
        value = None if metric is None else metric.value
        cells.append(RankingCell(score_text(metric), value, value == best))
    cells += [RankingCell(*pair) for pair in zip(cost_texts(backbone), cost_numbers(backbone), strict=True)]
    return [*cells, RankingCell(backbone.license or "–")]


def _strip(backbone: RankedBackbone, ranking: Ranking, runtime: Runtime) -> NeighborStrip:
    """Return the neighbors of a few queries, which are the same for every backbone."""
    assert backbone.run is not None
    run = Run(backbone.run, ranking.dataset.root, runtime=runtime)
    split = run.default_split()
    about = f"Nearest images of {QUERIES} queries within {split}."
    return NeighborStrip(backbone.name, about, example_rows(run, split, QUERIES, NEIGHBORS))
