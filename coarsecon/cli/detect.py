"""`coarsecon detect RUN`: transfer to object detection and instance segmentation."""

import json as jsonlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coarsecon.cli.console import closing, emit_json, table
from coarsecon.cli.options import OTHER_CHECKPOINTS, JsonFile, OldCheckpoint, RunArgument, chosen_checkpoint
from coarsecon.cli.pretrain import given
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.config import Checkpoint
from coarsecon.errors import InputError
from coarsecon.metrics.metric import percent
from coarsecon.run.folder import RunFolder, open_run

if TYPE_CHECKING:
    from coarsecon.detection.spec import DetectionSpec

MEASURES = {"AP": "ap", "AP50": "ap50", "AP75": "ap75"}
TITLES = {"box": "box", "mask": "mask", "box_voc07": "box, VOC07's measure"}


@single_process
def detect(
    run: RunArgument,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Dataset folder in VOC or COCO format; repeatable, as for VOC2007 with VOC2012."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Paper recipe (default: voc-c4-24k or coco-mask-c4-1x); `coarsecon recipes ls` lists all."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings, such as a detector's detection.yaml.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of training steps (default: the recipe's).")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Batch size in images (default: the recipe's).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the detector (default: in RUN/detection).")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the training in --out; evaluate it if it is finished.")
    ] = False,
    checkpoint: Annotated[
        Checkpoint | None, typer.Option(help=f"Encoder of the last epoch (default){OTHER_CHECKPOINTS}.")
    ] = None,
    encoder: OldCheckpoint = None,
    json: JsonFile = None,
    device: Annotated[str | None, typer.Option(help="Device: auto (default), cpu, cuda, cuda:1, ...")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Training precision: auto (default), float32 or bfloat16.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed of new layers, image order and views.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Number of processes that decode image files.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any other setting, for example schedule.steps=1000; repeatable."
        ),
    ] = None,
) -> None:
    """Train Faster or Mask R-CNN around the run's ResNet on VOC or COCO data, and report AP, AP50 and AP75."""
    opened = open_run(run)
    from coarsecon import recipes
    from coarsecon.config import merge, parse_assignments, read_config_file

    flags: dict[str, dict[str, Any]] = {
        "data": {"paths": data, "workers": workers},
        "model": {"encoder": chosen_checkpoint(checkpoint, encoder)},
        "schedule": {"steps": steps},
        "run": {"batch_size": batch_size, "device": device, "precision": precision, "seed": seed},
    }
    layers: dict[str, Any] = {}
    if resume and out and (out / "detection.yaml").exists():
        layers = read_config_file(out / "detection.yaml")
    if recipe:
        layers = merge(layers, recipes.read(recipe, "detect"))
    if config:
        layers = merge(layers, read_config_file(config, warn=True))
    layers = merge(merge(layers, parse_assignments(set_ or [])), given(flags))

    from coarsecon.detection.spec import build_detection_spec, default_output_dir, resolve_config
    from coarsecon.detection.train import check_folder, train_detector
    from coarsecon.train.resuming import check_same_settings, with_resumable
    from coarsecon.train.stopping import InterruptedRunError

    reporter = ConsoleReporter()
    resolved = resolve_config(layers)
    target = out or default_output_dir(opened, resolved)
    if not resume and RunFolder(target).checkpoint("last").exists():
        raise InputError(target, "holds a training already", "pass --resume to continue it, or another --out")
    check_folder(target, resume=resume)
    if resume:
        saved = with_resumable(read_config_file(target / "detection.yaml"), layers)
        check_same_settings(resolve_config(saved), resolved, target)
    reporter.info(f"reading the annotations in {', '.join(map(str, resolved.data.paths))}")
    planned = build_detection_spec(opened, resolved)
    reporter.info(
        f"{'Mask' if resolved.model.masks else 'Faster'} R-CNN ({resolved.model.head}) on "
        f"{len(planned.train.images):,} images of {len(planned.classes)} classes, {resolved.schedule.steps:,} steps of "
        f"{resolved.run.batch_size}, {planned.device} in {resolved.run.precision}; "
        f"measured on {len(planned.test.images):,} images"
    )
    again = shlex.join(["coarsecon", "detect", str(run), "--out", str(target), "--resume"])
    try:
        model = train_detector(planned, target, resume=resume, reporter=reporter)
        metrics = _measure(model, planned, reporter)
    except InterruptedRunError as stopped:
        raise InterruptedRunError(f"{stopped}; continue with: {again}") from None
    except KeyboardInterrupt:
        raise InterruptedRunError(f"stopped at once; continue from what was saved, if anything: {again}") from None
    if json:
        emit_json(metrics, json)
    if json != "-":
        rows = [[name, *(percent(values[key]) for values in metrics.values())] for name, key in MEASURES.items()]
        table("AP, in %", ["", *(TITLES[kind] for kind in metrics)], rows)
    _save(opened, planned, metrics, reporter)
    closing([target / "checkpoints" / "last.pt", *opened.stored, *([Path(json)] if json and json != "-" else [])], [])


def _measure(model: Any, planned: "DetectionSpec", reporter: ConsoleReporter) -> dict[str, dict[str, Any]]:
    from coarsecon.detection.data import format_of
    from coarsecon.detection.measure import VOC07_RECALLS, average_precision, detect_all

    config, test, classes = planned.config, planned.test, planned.classes
    found = detect_all(model, test, classes, device=planned.device, workers=config.data.workers, reporter=reporter)
    metrics = {"box": average_precision(test, classes, found)}
    if config.model.masks:
        metrics["mask"] = average_precision(test, classes, found, "mask")
    if format_of(config.data.paths[0]) == "voc":
        metrics["box_voc07"] = average_precision(test, classes, found, recalls=VOC07_RECALLS)
    return metrics


def _save(
    opened: RunFolder, planned: "DetectionSpec", metrics: dict[str, dict[str, Any]], reporter: ConsoleReporter
) -> None:
    """Write the result file: scores, settings and the fingerprints they were computed from."""
    from coarsecon.detection.samples import annotations_mark
    from coarsecon.detection.spec import result_name
    from coarsecon.run.provenance import computed_from, encoder_entry
    from coarsecon.run.results import COMPUTED_FROM
    from coarsecon.runtime.files import atomic_write

    config = planned.config
    data = [
        {"split": split, "fingerprint": annotations_mark(images)}
        for split, images in ((config.data.train, planned.train), (config.data.test, planned.test))
    ]
    encoder = encoder_entry(opened, config.model.encoder)
    record = {
        COMPUTED_FROM: {**computed_from([encoder]), "annotations": data},
        "split": config.data.test, "checkpoint": config.model.encoder, "data": ", ".join(map(str, config.data.paths)),
        **metrics,
        "recipe": config.recipe, "head": config.model.head, "batch_norm": config.model.batch_norm,
        "train_images": len(planned.train.images), "steps": config.schedule.steps, "batch_size": config.run.batch_size,
        "lr": config.optimizer.lr, "precision": config.run.precision, "seed": config.run.seed,
    }  # fmt: skip
    path = opened.results / f"detect-{result_name(config)}.json"
    opened.store(path, lambda place: atomic_write(place, jsonlib.dumps(record, indent=2)), reporter)
