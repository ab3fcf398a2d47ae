"""Tables of a ranking of backbones."""

from coarsecon.backbones.compare import RankedBackbone, Ranking
from coarsecon.backbones.scores import half_interval
from coarsecon.evaluation.base import Table
from coarsecon.metrics.metric import Metric, percent

COST_COLUMNS = ("px", "dim.", "param. (M)", "images/s", "MiB")


def ranking_table(ranking: Ranking) -> Table:
    """Return a row for each backbone that was evaluated, the best first."""
    title = f"Backbones on {ranking.dataset.info.name}, in % with 95% intervals, by {ranking.by}"
    rows = [
        [each.name, *(score_text(each.scores.get(title)) for title in ranking.titles), *cost_texts(each)]
        for each in ranking.backbones
        if not each.problem
    ]
    return Table(title, ["backbone", *ranking.titles, *COST_COLUMNS], rows)


def skipped_table(ranking: Ranking) -> Table | None:
    """Return the backbones that were skipped and the scores that are missing, with the reasons; None without any."""
    names: dict[str, list[str]] = {}
    for each in ranking.backbones:
        for reason in filter(None, (each.problem, *each.notes)):
            names.setdefault(reason, []).append(each.name)
    rows = [[", ".join(affected), reason] for reason, affected in names.items()]
    return Table("Skipped", ["backbone", "reason"], rows, numbers=False) if rows else None


def score_text(metric: Metric | None) -> str:
    """Return a score in percent with half its interval."""
    if metric is None:
        return "–"
    half = half_interval(metric)
    return percent(metric.value) + (f" ± {100 * half:.1f}" if half is not None else "")


def cost_texts(backbone: RankedBackbone) -> list[str]:
    """Return the texts of `COST_COLUMNS`."""
    cost = backbone.cost
    if cost is None:
        return [""] * len(COST_COLUMNS)
    speed = f"{cost.images_per_second:.0f}" if cost.images_per_second >= 10 else f"{cost.images_per_second:.2g}"
    return [str(cost.size), str(cost.dim), f"{cost.parameters / 1e6:.1f}", speed, f"{cost.memory:.0f}"]


def cost_numbers(backbone: RankedBackbone) -> list[float | None]:
    """Return the numbers of `COST_COLUMNS`."""
    cost = backbone.cost
    if cost is None:
        return [None] * len(COST_COLUMNS)
    return [cost.size, cost.dim, cost.parameters / 1e6, cost.images_per_second, cost.memory]
