"""coarsecon: learn fine-grained image embeddings from coarse labels, and search with them."""

import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from coarsecon.registry.distributions import skip_broken_distributions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coarsecon.auditing.audit import Audit
    from coarsecon.data.prepared.store import PreparedDataset
    from coarsecon.evaluation.base import Result
    from coarsecon.run.classifier import Classified
    from coarsecon.run.facade import Run
    from coarsecon.runtime.progress import Reporter

__all__ = ["__version__", "audit", "classify", "combine", "evaluate", "load", "prepare", "pretrain"]

skip_broken_distributions()  # before torch is imported, which searches entry points

try:
    __version__ = version("coarsecon")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


def load(
    run: "str | Path",
    *,
    data: "str | Path | None" = None,
    checkpoint: str = "last",
    layer: str = "backbone",
    flip: bool = False,
    device: str = "auto",
    workers: int = 2,
    **deprecated: Any,
) -> "Run":
    """Open a run, to embed images, to search and to evaluate.

    Args:
        run: The run folder.
        data: The prepared dataset to search in and to evaluate on; by default the run's.
        checkpoint: The "last", "best" or "initial" encoder.
        layer: Features of the "backbone", or of the "projector".
        flip: Average each image's features with those of its mirror image.
        device: "auto", "cpu", "cuda", ...
        workers: Threads and processes that decode image files.

    Raises:
        InputError: There is no run, it has no encoder yet, or there is no such checkpoint or layer.
    """
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime

    if "which" in deprecated:
        warnings.warn("coarsecon.load: `which` is now called `checkpoint`", FutureWarning, stacklevel=2)
        checkpoint = deprecated.pop("which")
    if deprecated:
        raise TypeError(f"load() got an unexpected keyword argument {next(iter(deprecated))!r}")
    spec = FeatureSpec(checkpoint, layer, flip)  # type: ignore[arg-type]  # Run checks the names
    opened = Run(run, data, features=spec, runtime=Runtime(device, workers))
    opened.store.load()  # report a mistake at once
    return opened


def prepare(name: str, out: "str | Path", **options: Any) -> "PreparedDataset":
    """Read a dataset from its original files and write it in the prepared form to the folder `out`.

    The options are those of `coarsecon.data.prepare.dataset.prepare_dataset` and of the source `name`.

    Raises:
        InputError: There is no such source, an option is invalid, or the original files are missing or damaged.

    Example:
        >>> coarsecon.prepare("folder", "data/birds", source="photos", size=64)  # doctest: +SKIP
    """
    from coarsecon.data.prepare.dataset import prepare_dataset

    return prepare_dataset(name, out, **options)


def audit(
    data: "str | Path | PreparedDataset",
    run: "str | Path | Run | None" = None,
    *,
    workers: int = 2,
    reporter: "Reporter | None" = None,
    **settings: Any,
) -> "Audit":
    """Find near-duplicates, leakage, wrong labels, outliers, and images of low quality in a prepared dataset.

    Args:
        data: The prepared dataset.
        run: A run whose features find near-duplicates, wrong labels, and outliers. Without one, near-duplicates are
            found by perceptual hashes, and wrong labels and outliers are not.
        workers: Number of processes that decode images.
        reporter: Receives progress; silent by default.
        settings: The fields of `coarsecon.auditing.settings.AuditConfig`, named as the options of `data audit`.

    Raises:
        InputError: There is no such dataset, run, setting or label level, or features of an image cannot be computed.

    Example:
        >>> coarsecon.audit("data/birds", "runs/birds").of("leakage")  # doctest: +SKIP
    """
    from pathlib import Path

    from coarsecon.auditing.audit import audit_dataset
    from coarsecon.auditing.settings import AuditConfig
    from coarsecon.data.prepared.store import open_dataset
    from coarsecon.run.facade import Run
    from coarsecon.runtime.settings import validate

    dataset = open_dataset(data) if isinstance(data, str | Path) else data
    config = validate(AuditConfig, settings)
    if isinstance(run, Run):
        run = run.folder.root
    opened = None if run is None else load(run, data=dataset.root, workers=workers)
    return audit_dataset(dataset, opened, config, workers=workers, reporter=reporter)


def evaluate(run: "str | Path | Run", name: str, **settings: Any) -> "Result":
    """Evaluate a run, and store the result and its figures in the run folder, as the command of that name does.

    Args:
        run: The run folder, or an opened run: `coarsecon.load(folder, checkpoint="best")`.
        name: The name of an evaluation, such as "retrieve" or "fewshot"; `coarsecon plugins` lists them.
        settings: The settings of the evaluation, named as its options.

    Raises:
        InputError: There is no such evaluation or setting, or the run or its dataset does not allow it.

    Example:
        >>> coarsecon.evaluate("runs/birds", "fewshot", shots=5)["accuracy"]  # doctest: +SKIP
    """
    from coarsecon.report.evaluate import evaluate as evaluate_run
    from coarsecon.run.facade import Run

    return evaluate_run(run if isinstance(run, Run) else load(run), name, **settings)


def classify(
    run: "str | Path | Run",
    images: "Sequence[str | Path]",
    *,
    labels: str = "fine",
    coarse: str | None = None,
    known_rejected: float | None = None,
) -> "list[Classified]":
    """Classify images by the labeled images of a run's dataset, without training.

    Args:
        run: The run folder, or an opened run.
        images: Image files and folders.
        labels: Label level, such as a label column.
        coarse: Coarse class of the images, if it is known: only its classes are considered then.
        known_rejected: Largest fraction of images of known classes to call unknown; None: chosen by cross-validation.

    Returns:
        One result per image: the label (None for an image of no known class), its probability, and alternatives.

    Raises:
        InputError: No image of the dataset has such a label, or an image is missing or broken.

    Example:
        >>> coarsecon.classify("runs/birds", ["new.jpg"], labels="reviewed")[0].label  # doctest: +SKIP
    """
    from pathlib import Path

    from coarsecon.run.classifier import LabelClassifier
    from coarsecon.run.facade import Run

    opened = run if isinstance(run, Run) else load(run)
    classifier = LabelClassifier(opened, labels, known_rejected=known_rejected)
    return classifier.files([Path(image) for image in images], coarse=coarse)


def pretrain(
    data: "str | Path",
    /,
    *,
    method: "str | dict[str, Any] | None" = None,
    recipe: str | None = None,
    out: "str | Path | None" = None,
    resume: bool = False,
    reporter: "Reporter | None" = None,
    **sections: "dict[str, Any]",
) -> "Run":
    """Train an encoder on the coarse labels of a prepared dataset.

    Args:
        data: The prepared dataset.
        method: Name of the method (default: the recipe's, else "maskcon", or "cnce" from pretrained weights), or its
            settings with the key "name".
        recipe: Name of a paper recipe to start from.
        out: Run folder to write (default: runs/METHOD).
        resume: Continue the run in `out`, which needs the settings it was started with.
        reporter: Receives messages and progress; silent by default.
        **sections: Settings by section, for example `data={"labels": "fine"}, schedule={"epochs": 20}`.

    Returns:
        The run, opened as by `load`.

    Raises:
        InputError: The dataset or a setting cannot be used, `out` holds another run, or `resume` changes a setting.
        CoarseconError: The loss became infinite or NaN.
    """
    from pathlib import Path

    from coarsecon import recipes
    from coarsecon.config import merge
    from coarsecon.run.folder import RunFolder
    from coarsecon.train.pretrain import pretrain as train
    from coarsecon.train.resolve import build_run_spec
    from coarsecon.train.resuming import check_same_settings, with_resumable, with_saved_version

    layers = recipes.read(recipe) if recipe else {}
    if method:
        layers = merge(layers, {"method": {"name": method} if isinstance(method, str) else method})
    layers = merge(merge(layers, sections), {"data": {"path": Path(data)}})
    spec = build_run_spec(layers)
    folder = RunFolder(Path(out or Path("runs") / spec.config.method["name"]))
    if resume and folder.config_file.is_file():
        saved = folder.settings()
        layers = with_saved_version(saved, layers)
        if "finetune" not in saved:  # an earlier version, without defaults for pretrained weights
            layers = {"recipe": None, **layers}
        spec = build_run_spec(layers)
        started = build_run_spec(with_resumable(saved, layers))
        check_same_settings(started.config, spec.config, folder.root)
    run = train(spec, folder.root, resume=resume, reporter=reporter)
    return load(run.root, device=spec.config.run.device)


def combine(
    runs: "Sequence[str | Path]",
    out: "str | Path",
    *,
    weights: "Sequence[float]" = (),
    data: "str | Path | None" = None,
    device: str = "auto",
    workers: int = 2,
) -> "Run":
    """Write a run whose features are the weighted concatenation of those of other runs.

    Args:
        runs: Run folders, two or more; "FOLDER@best" or "FOLDER@initial" takes another checkpoint than the last.
        out: The run folder to write.
        weights: One weight per run, above 0 (default: 1 each).
        data: The prepared dataset to evaluate on (default: that of the first run).
        device: Device of the opened run: "auto", "cpu", "cuda", ...
        workers: Threads and processes that decode image files.

    Returns:
        The run, opened as by `load`.

    Raises:
        InputError: A run, checkpoint, weight, or the dataset cannot be used, or `out` exists.

    Example:
        >>> coarsecon.combine(["runs/birds@initial", "runs/birds"], "runs/both", weights=[1, 2])  # doctest: +SKIP
    """
    from coarsecon.run.combine import combine_runs

    return load(combine_runs(runs, out, weights=weights, data=data).root, device=device, workers=workers)
