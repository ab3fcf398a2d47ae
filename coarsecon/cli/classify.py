"""`coarsecon classify RUN [IMAGES]`: the labels of images, from the labeled images of a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coarsecon.cli.console import JsonFile, closing, emit_json, table
from coarsecon.cli.options import CheckpointChoice, DataFolder, Device, Flip, LayerChoice, RunArgument, Workers
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import InputError
from coarsecon.metrics.metric import percent

if TYPE_CHECKING:
    from coarsecon.metrics.labeled import Calibrated
    from coarsecon.run.classifier import Classified, LabelClassifier

MAX_ROWS = 40
"""Images in the table on the terminal; the files have all."""

UNKNOWN = "unknown"
COLUMNS = ("path", "label", "probability", "similarity", "best", "alternatives", "coarse", "split")


@single_process
def classify(
    run: RunArgument,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGES]...", help="Image files and folders. Default: the images of the dataset without a label."
        ),
    ] = None,
    labels: Annotated[str, typer.Option(metavar="LEVEL", help="Label level, such as a label column.")] = "fine",
    labeled: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT", help="Use the labeled images of this split; repeatable. Default: all."),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT", help="Without IMAGES: classify images of this split; repeatable. Default: all."),
    ] = None,
    coarse: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Coarse class of all IMAGES: consider its classes only.")
    ] = None,
    coarse_from_folder: Annotated[
        bool, typer.Option("--coarse-from-folder", help="The folder of an image has the name of its coarse class.")
    ] = False,
    known_rejected: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="FRACTION",
            show_default=False,
            help="Largest fraction of images of known classes to call unknown. Default: chosen by cross-validation.",
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Table to write, which `coarsecon labels import` reads.", show_default=False)
    ] = None,
    data: DataFolder = None,
    checkpoint: CheckpointChoice = "last",
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    json: JsonFile = None,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Predict the labels of images from the labeled images of a dataset, without training.

    Each image gets the most probable class with a calibrated probability, or `unknown` if it resembles no class.
    The classifier and the expected errors come from cross-validation on the labeled images. Where the coarse class of
    an image is known, only its classes are considered.
    """
    if not images and (coarse or coarse_from_folder):
        raise InputError("coarse" if coarse else "coarse_from_folder", "is for image files", "pass IMAGES too")
    if coarse and coarse_from_folder:
        raise InputError("coarse", "is given for all images, and by their folders", "pass one of the two")
    if images and split:
        raise InputError("split", "is for images of the dataset", "leave it out, or leave IMAGES out")
    from coarsecon.run.classifier import LabelClassifier
    from coarsecon.run.facade import Run
    from coarsecon.run.folder import open_run
    from coarsecon.run.spec import FeatureSpec, Runtime

    opened = Run(
        open_run(run), data,
        features=FeatureSpec(checkpoint, layer, flip), runtime=Runtime(device, workers, ConsoleReporter()),
    )  # fmt: skip
    classifier = LabelClassifier(opened, labels, splits=labeled or [], known_rejected=known_rejected)
    if images:
        found = classifier.files(images, coarse=coarse, from_folder=coarse_from_folder)
    else:
        found = [each for name in split or opened.dataset.splits for each in classifier.unlabeled(name)]
    if not found:
        raise InputError(opened.dataset.root, f"every image has a {labels} label", "name images to classify")
    used = {name: classifier.calibrated(constrained=name == "with coarse class")
            for name in dict.fromkeys("without coarse class" if each.coarse is None else "with coarse class"
                                      for each in found)}  # fmt: skip
    if json:
        emit_json({"labels": labels, "images": [each.to_json() for each in found],
                   "expected": {name: _facts(each) for name, each in used.items()}}, json)  # fmt: skip
    if csv:
        _write(csv, found)
    if json != "-":
        _print(classifier, found, used)
    closing([csv] if csv else [], [])


def _print(classifier: "LabelClassifier", found: "list[Classified]", used: "dict[str, Calibrated]") -> None:
    rows = [
        [each.path, each.label or UNKNOWN, percent(each.probability) if each.label else "", f"{each.similarity:.3f}",
         _alternatives(each)]
        for each in found[:MAX_ROWS]
    ]  # fmt: skip
    more = f", the first {MAX_ROWS} of {len(found):,}" if len(found) > MAX_ROWS else ""
    table(f"Labels of {len(found):,} images{more}, probabilities in %",
          ["image", classifier.level, "probability", "similarity", "next"], rows, numbers=False)  # fmt: skip
    reporter = ConsoleReporter()
    known = sum(each.label is not None for each in found)
    reporter.info(
        f"{known:,} of {len(found):,} images get a label of {len(classifier.classes):,} classes, "
        f"{len(found) - known:,} are {UNKNOWN}"
    )
    for name, each in used.items():
        reporter.info(f"images {name}: {_sentence(each)}")


def _sentence(used: "Calibrated") -> str:
    """Return the expected errors in words."""
    found = used.estimate
    if not found.images:
        return "no errors can be estimated: every class has a single labeled image"
    threshold = found.threshold
    text = (
        f"{used.head}; expected on images of known classes, by cross-validation on {found.images:,} labeled images: "
        f"{percent(found.wrong)} % wrong and {percent(threshold.known_rejected)} % {UNKNOWN}"
    )
    if threshold.new_found == threshold.new_found:  # not NaN
        text += f"; of images of a new class, {percent(threshold.new_found)} % are found to be {UNKNOWN}"
    return f"{text}; calibration error {percent(found.calibration_error)} %"


def _facts(used: "Calibrated") -> dict[str, Any]:
    found, threshold = used.estimate, used.estimate.threshold
    facts = {
        "classifier": used.head, "similarity": used.similarity, "temperature": used.temperature,
        "labeled_images": found.images, "error": found.error, "wrong": found.wrong,
        "calibration_error": found.calibration_error, "threshold": threshold.value,
        "known_rejected": threshold.known_rejected, "new_found": threshold.new_found, "auroc": threshold.auroc,
    }  # fmt: skip
    return {name: None if value != value else value for name, value in facts.items()}  # JSON has no NaN


def _alternatives(found: "Classified") -> str:
    listed = found.alternatives[1:] if found.label else found.alternatives
    return ", ".join(f"{label} {percent(probability)}" for label, probability in listed)


def _write(target: Path, found: "list[Classified]") -> None:
    from coarsecon.report.spreadsheet import csv_file, csv_text
    from coarsecon.runtime.files import atomic_write

    rows = [
        [each.path, each.label or "", each.probability, each.similarity,
         each.alternatives[0][0] if each.alternatives else "", _alternatives(each), each.coarse or "", each.split]
        for each in found
    ]  # fmt: skip
    atomic_write(target, csv_file(csv_text(COLUMNS, rows)))
