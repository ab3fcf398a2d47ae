"""Summaries of runs for `coarsecon report`, from stored results and cached features."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from coarsecon.config import Checkpoint, FeatureLayer, read_config_file
from coarsecon.data.formats.images import opened
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.evaluation.tsne import map_split
from coarsecon.exporters import read_export
from coarsecon.exporters.manifest import RECORD
from coarsecon.pictures.images import data_uri, png
from coarsecon.pictures.origin import read_origin
from coarsecon.report.comparison import Comparison, Outcomes, compare
from coarsecon.report.evaluate import load_evaluation
from coarsecon.report.feature_map import FeatureMap
from coarsecon.report.gallery import gallery_fragment
from coarsecon.report.map_page import map_fragment
from coarsecon.report.page import Fragment
from coarsecon.report.projection import draw_map, saved_map
from coarsecon.report.run_report import ReportPicture, RunReport
from coarsecon.run.facade import Run
from coarsecon.run.folder import RunFolder
from coarsecon.run.log import last_epoch
from coarsecon.run.provenance import Verifier
from coarsecon.run.results import StoredResult
from coarsecon.run.searching import example_rows
from coarsecon.run.spec import FeatureSpec, Runtime
from coarsecon.runtime.documents import is_number, read_json_object
from coarsecon.runtime.progress import Reporter
from coarsecon.train.monitor import monitored_description

WIDEST = 1600
"""Pixels of a picture on a page."""
MOST_FIGURES = 12
GALLERY_QUERIES, GALLERY_NEIGHBORS = 6, 8
MAP_IMAGES = 500
MAPS = ("tsne", "umap", "pca")


class Summary:
    """Runs as `report.run_report` shows them, and how they compare."""

    def __init__(self, runs: Sequence[RunFolder], reporter: Reporter) -> None:
        self.names = run_names(runs)
        self._kept = [KeptFeatures(run, reporter, Verifier(run)) for run in runs]
        self.reports = [
            replace(summarize(run, name, kept.verifier), fragments=kept.fragments(name))
            for run, name, kept in zip(runs, self.names, self._kept, strict=True)
        ]

    @cached_property
    def comparison(self) -> list[Comparison]:
        """The scores the runs share, query by query where their features are kept."""
        if len(self.reports) < 2:
            return []
        return compare([run.results for run in self.reports], [kept.outcomes for kept in self._kept])


class KeptFeatures:
    """Galleries, maps and outcomes of a run from its cached features: nothing is computed from images."""

    def __init__(self, run: RunFolder, reporter: Reporter, verifier: Verifier) -> None:
        self.run, self.reporter, self.verifier = run, reporter, verifier

    def fragments(self, name: str) -> dict[str, Fragment]:
        """Return a gallery and a map of the default split, if its features are cached."""
        session = self._session({}, "")
        if session is None:
            return {}
        split = session.default_split()
        rows = example_rows(session, split, GALLERY_QUERIES, GALLERY_NEIGHBORS)
        gallery = gallery_fragment(rows, title=f"Images of {split} with their nearest, by {name}", level=3)
        return {"Gallery": gallery, "Map": map_fragment(self._map(session, split), level=3)}

    def outcomes(self, result: StoredResult) -> Outcomes | None:
        """Return how each query of a result fared, computed from cached features; None where that is not possible."""
        split = result.context.get("split")
        if not isinstance(split, str):
            return None
        session = self._session(result.context, split)
        if session is None:
            return None
        try:
            return load_evaluation(result.evaluation).outcomes(session, result.record)
        except CoarseconError:  # its evaluation is not installed, or there are no labels any more, say
            return None
        except Exception as error:  # of a third-party evaluation
            problem = f"{type(error).__name__}: {error}"
            session.reporter.info(f"Warning: {result.evaluation}: outcomes failed ({problem}); comparing its intervals")
            return None

    def _map(self, session: Run, split: str) -> FeatureMap:
        """The newest map that `coarsecon tsne` kept of what is there now; else a quick one of a few images by PCA."""
        maps = [result for result in self.verifier.results() if result.evaluation in MAPS]
        files = [map.path for map in maps if map.path is not None and map.freshness.is_usable]
        for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
            try:
                return saved_map(session, file)
            except InputError:  # broken, or of another dataset
                continue
        return draw_map(session, split, map_split(session, split, "pca", limit=MAP_IMAGES))

    def _session(self, context: Mapping[str, Any], split: str) -> Run | None:
        """The run with the features that the result was computed on, where those of the split are kept."""
        which, layer = context.get("checkpoint", "last"), context.get("layer", "backbone")
        if which not in get_args(Checkpoint) or layer not in get_args(FeatureLayer):
            return None
        data = Path(context["data"]) if isinstance(context.get("data"), str) else None
        try:
            spec = FeatureSpec(which, layer, context.get("flip") is True)
            session = Run(self.run, data, features=spec, runtime=Runtime("cpu", 0, self.reporter))
            split = split or session.default_split()
            return session if split in session.dataset.splits and session.store.holds(session.dataset, split) else None
        except (CoarseconError, OSError):
            return None


def summarize(run: RunFolder, name: str, verifier: Verifier) -> RunReport:
    """Return the settings, log, results and pictures of a run, and what is missing, broken or stale.

    Raises nothing of a run's own making: half of a run gives half a report.
    """
    problems: list[str] = []

    def read(what: Callable[..., Any], empty: Any, *arguments: Any) -> Any:
        try:
            return what(*arguments)
        except (CoarseconError, OSError, ValueError, RecursionError) as error:
            problems.append(str(error).splitlines()[0][:300])
            return empty

    links = run.linked_out()
    settings, environment, problem = {}, {}, ""
    log: list[dict[str, Any]] = []
    if run.owns(run.config_file):
        settings = read(lambda: _plain_tree(read_config_file(run.config_file)), {})
    if run.owns(run.environment_file):
        environment = read(_read_object, {}, run.environment_file)
    if run.owns(run.metrics_file):
        log, problem = run.readable_metrics()
    if isinstance(environment.get("command"), list):
        environment["command"] = shlex.join(map(str, environment["command"]))
    problems += [problem] * bool(problem)
    results = verifier.results()
    pictures = []
    if run.views_picture.exists() and run.owns(run.views_picture):
        pictures.append(ReportPicture("views of the first batch", read(_picture, "", run.views_picture)))
    for path in run.files(run.figures, "*.png")[:MOST_FIGURES]:
        pictures.append(ReportPicture(path.stem, read(_picture, "", path), verifier.check(read_origin(path), path)))
    problems += [f"{result.name}.json {result.problem}" for result in results if result.problem]
    problems += _stale(run, results, verifier)
    problems += [f"{link}: a symbolic link that leads out of the run; it is not followed" for link in links]
    return RunReport(
        name, _facts(run, settings, log), settings, environment, log, results,
        pictures=[picture for picture in pictures if picture.uri],
        problems=problems, missing=_missing(run, log, bool(results)),
    )  # fmt: skip


def _stale(run: RunFolder, results: Sequence[StoredResult], verifier: Verifier) -> list[str]:
    """Return notes about stale results, a replaced dataset and stale exports."""
    told = [
        f"{result.name}.json is {result.freshness}; evaluate again"
        for result in results
        if not result.freshness.is_usable
    ]
    for file in run.files(run.root / "export", f"*/{RECORD}"):
        freshness = verifier.check(read_export(file), file)
        if not freshness.is_usable:
            told.append(f"export/{file.parent.name} is {freshness}; export again")
    told += [note] if (note := verifier.dataset_note()) else []
    return told


def run_names(runs: Sequence[RunFolder]) -> list[str]:
    """Return a name for each run: that of its folder, or its path if two folders have the same name."""
    names = [run.root.resolve().name for run in runs]
    return [str(run.root) if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]


def _facts(run: RunFolder, settings: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the facts at the top of a report."""

    def setting(section: str, key: str) -> Any:
        part = settings.get(section)
        return part.get(key) if isinstance(part, dict) else None

    planned, done = setting("schedule", "epochs"), last_epoch(log)
    facts = {
        "folder": str(run.root),
        "method": setting("method", "name"),
        "recipe": settings.get("recipe"),
        "backbone": setting("backbone", "name"),
        "data": setting("data", "path"),
        "epochs": f"{done} of {planned}" + ("" if done == planned else ", not finished"),
        "last loss": _last(log, "loss"),
        "monitored fine recall@1": _monitored(
            _last(log, "fine_recall@1", percent=True), setting("data", "path"), setting("data", "validation")
        ),
        "before training": _last(
            [row for row in log if row.get("epoch") == 0 == row.get("step")], "fine_recall@1", percent=True
        ),
        "images per second": _last(log, "images_per_s"),
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _monitored(score: str | None, data: Any, validation: Any) -> str | None:
    """Return a score with the images it was computed on, if the dataset is still there."""
    try:
        return score and f"{score} of {monitored_description(open_dataset(Path(str(data))), validation or 0)}"
    except InputError:
        return score


def _last(log: Sequence[Mapping[str, Any]], name: str, *, percent: bool = False) -> str | None:
    values = [row[name] for row in log if is_number(row.get(name))]
    if not values:
        return None
    return f"{100 * values[-1]:.2f} %" if percent else f"{values[-1]:,.4g}"


def _missing(run: RunFolder, log: Sequence[Any], has_results: bool) -> list[str]:
    if not run.has_encoder():
        began = "the run has not finished its first epoch" if log else "nothing was trained yet"
        return [f"no encoder: {began}; coarsecon pretrain --out {run.root} --resume"]
    return [] if has_results else [f"no result yet: coarsecon retrieve {run.root}"]


def _read_object(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return {}


def _plain_tree(value: Any) -> Any:
    """The value as JSON has it: dates become text, and what contains itself a ValueError."""
    return json.loads(json.dumps(value, default=str))


def _picture(path: Path) -> str:
    """A PNG of a run as a `data:` address, decoded and encoded again."""
    with opened(path) as image:
        picture = image.convert("RGB")
    if picture.width > WIDEST:
        height = max(1, round(picture.height * WIDEST / picture.width))
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    return data_uri("png", png(picture))
