"""Choose search settings on validation queries, one setting after another, and report them on other queries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.evaluation.base import Metric, Result, Table, percent
from coarsecon.evaluation.pairing import WITHIN
from coarsecon.evaluation.tuning_cases import Case, Values, tuning_cases
from coarsecon.metrics.interval import Interval, PairedMeans, paired_means, wilson
from coarsecon.run.facade import Run
from coarsecon.run.tuned import store_tuning
from coarsecon.run.tuning import Reranking, TunedFeatures, Tuning, encoders_of

ZOOMS = ([1.0], [1.0, 0.85], [1.0, 0.85, 0.7])
WEIGHTS = ([1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 0.0], [0.0, 1.0])
"""Weights tried of two encoders; of more, all equal, and each of them twice."""

RERANKINGS = (
    Reranking(k1=20, k2=6, weight=0.3), Reranking(k1=10, k2=3, weight=0.3), Reranking(k1=10, k2=3, weight=0.7),
)  # fmt: skip
"""The first has the settings of the paper."""

CRITERION = "recall@1"

SHORT = {WITHIN: "within"}
"""Names of levels in tables."""

Options = Callable[[Run, Tuning], list[Tuning]]


@dataclass(frozen=True)
class Try:
    """Settings that were measured on the validation queries."""

    tuning: Tuning
    values: Values
    is_chosen: bool = False


def tune(run: Run, split: str | None, gallery_split: str | None) -> Result:
    """Choose settings by Recall@1 at the finest level, and compare them with the plain ones on the evaluated split.

    The settings are tried in the order of `STEPS`, each with the best values of those before. A value replaces the
    plain one only if its Recall@1 is higher. The choice is stored in the run.

    Raises:
        InputError: The splits cannot be used.
    """
    choosing, reporting = tuning_cases(run, split, gallery_split)
    plain = Tuning(layers=[run.spec.layer], flip=run.spec.flip)
    tries = search_settings(run, choosing, plain)
    best = next(each.tuning for each in reversed(tries) if each.is_chosen)
    values = reporting.measure(run, plain), reporting.measure(run, best)
    where = f"{choosing.queries} in {choosing.gallery}"
    run.use(*(part.ref for case in (choosing, reporting) for part in (case.queries, case.gallery)))
    if run.runtime.distributed.rank == 0:
        record = {"criterion": f"{next(iter(values[0]))} {CRITERION}", "queries": where, "tries": _json(tries)}
        store_tuning(run, best, [choosing.queries.ref, choosing.gallery.ref], record)
    summary = _summary(*values)
    by_level: dict[str, dict[str, object]] = {level: {} for level in values[0]}
    for (level, name), each in summary.items():
        by_level[level][name] = _to_json(each)
    return Result(
        metrics=[
            Metric(name, each.after, level, "share", count=each.count)
            for (level, name), each in summary.items()
        ],
        split=reporting.queries.ref.split,
        name=f"retrieve-tuned-in-{reporting.gallery.ref.split}",
        values={"tuned": best.describe(), "chosen_on": where, **by_level, "tries": _json(tries)},
        tables=[_tries_table(tries, where), _comparison(summary, best, f"{reporting.queries} in {reporting.gallery}")],
    )  # fmt: skip


def search_settings(run: Run, case: Case, plain: Tuning) -> list[Try]:
    """Return all settings that were tried; those marked as chosen were the best so far."""
    tries = [Try(plain, case.measure(run, plain), is_chosen=True)]
    best = tries[0]
    for options in STEPS:
        measured = [Try(each, case.measure(run, each)) for each in options(run, best.tuning) if each != best.tuning]
        top = max(measured, key=lambda each: _score(each.values), default=best)
        if _score(top.values) > _score(best.values):
            best = Try(top.tuning, top.values, is_chosen=True)
        tries += [best if each is top and best.tuning is top.tuning else each for each in measured]
    return tries


def _layers(run: Run, tuning: Tuning) -> list[Tuning]:
    try:
        TunedFeatures(run.store, Tuning(layers=["projector"]))
    except InputError:  # the run has no projector, or kept no heads
        return []
    return [
        tuning.model_copy(update={"layers": layers})
        for layers in (["backbone"], ["projector"], ["backbone", "projector"])
    ]


def _encoders(run: Run, tuning: Tuning) -> list[Tuning]:
    count = len(encoders_of(run.store))
    if count == 1:
        return []
    many = [[2.0 if place == chosen else 1.0 for place in range(count)] for chosen in range(count)]
    weights = WEIGHTS if count == 2 else [[1.0] * count, *many]
    return [tuning.model_copy(update={"weights": each}) for each in weights]


def _flip(run: Run, tuning: Tuning) -> list[Tuning]:
    return [tuning.model_copy(update={"flip": not tuning.flip})]


def _zooms(run: Run, tuning: Tuning) -> list[Tuning]:
    return [tuning.model_copy(update={"zooms": zooms}) for zooms in ZOOMS]


def _transforms(run: Run, tuning: Tuning) -> list[Tuning]:
    return [tuning.model_copy(update={"transform": kind}) for kind in ("center", "whiten")]


def _fusion(run: Run, tuning: Tuning) -> list[Tuning]:
    several = len(TunedFeatures(run.store, tuning).stores) > 1
    return [tuning.model_copy(update={"fusion": "ranks"})] if several else []


def _rerankings(run: Run, tuning: Tuning) -> list[Tuning]:
    return [tuning.model_copy(update={"reranking": each}) for each in RERANKINGS]


STEPS: Sequence[Options] = (_layers, _encoders, _flip, _zooms, _transforms, _fusion, _rerankings)


def _summary(plain: Values, tuned: Values) -> dict[tuple[str, str], PairedMeans]:
    """Compare the plain and the tuned search by level and metric; each has queries that count."""
    found = {}
    for level, names in plain.items():
        for name, before in names.items():
            means = paired_means(before, tuned[level][name])
            assert means is not None
            found[level, name] = means
    return found


def _to_json(means: PairedMeans) -> dict[str, object]:
    """Return the numbers with their 95% intervals."""
    return {
        "plain": means.before, "tuned": means.after, "difference": means.difference, "count": means.count,
        "plain_ci95": wilson(means.before, means.count), "tuned_ci95": wilson(means.after, means.count),
        "difference_ci95": means.interval,
    }  # fmt: skip


def _score(values: Values) -> float:
    """Return the criterion: Recall@1 at the first level, which is fine if it is known."""
    return _mean(next(iter(values.values()))[CRITERION])


def _mean(values: Tensor) -> float:
    return float(values.nanmean())


def _json(tries: Sequence[Try]) -> list[dict[str, object]]:
    return [
        {"setting": each.tuning.describe(), "chosen": each.is_chosen,
         **{level: {name: _mean(value) for name, value in names.items()} for level, names in each.values.items()}}
        for each in tries
    ]  # fmt: skip


def _tries_table(tries: Sequence[Try], where: str) -> Table:
    levels = list(tries[0].values)
    rows = [
        [each.tuning.describe() + " *" * each.is_chosen, *(percent(_mean(each.values[at][CRITERION])) for at in levels)]
        for each in tries
    ]
    columns = ["setting (* the best so far)", *(SHORT.get(level, level) for level in levels)]
    return Table(f"Recall@1 of validation queries: {where}, in %", columns, rows)


def _comparison(summary: dict[tuple[str, str], PairedMeans], best: Tuning, where: str) -> Table:
    rows = []
    for (level, name), each in summary.items():
        before, after = (_with_interval(value, wilson(value, each.count)) for value in (each.before, each.after))
        title = f"{SHORT.get(level, level)} {name.replace('recall', 'R')}"
        rows.append([title, before, after, _difference(each.difference, each.interval)])
    title = f"Retrieval of {where}, in %, with 95% intervals; tuned: {best.describe()}"
    return Table(title, ["", "plain", "tuned", "difference"], rows, numbers=False)


def _with_interval(value: float, interval: Interval) -> str:
    low, high = (f"{100 * end:.1f}" for end in interval)
    return f"{percent(value)} ({low}-{high})"


def _difference(value: float, interval: Interval) -> str:
    low, high = (f"{100 * end:+.1f}" for end in interval)
    return f"{100 * value:+.2f} ({low} to {high})"
