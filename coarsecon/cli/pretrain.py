"""`coarsecon pretrain`: train an encoder on coarse labels."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coarsecon.cli.console import closing
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.missing import no_dataset
from coarsecon.runtime.progress import Reporter


def pretrain(
    data: Annotated[Path | None, typer.Option(help="Prepared dataset, made by `coarsecon prepare`.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Training method (default: maskcon, or cnce from pretrained weights); `coarsecon methods` lists them."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Paper recipe to start from; `coarsecon recipes ls` lists them.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, such as RUN/config.yaml.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Name of any timm model (default: resnet18).")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of training epochs (default: by the number of images).")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Global batch size in images (default: 128, less for few images).")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Train on N images only, drawn evenly over the classes by --seed.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write (default: runs/METHOD).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")] = False,
    init_from: Annotated[Path | None, typer.Option(help="Checkpoint file to initialize the backbone from.")] = None,
    device: Annotated[str | None, typer.Option(help="Device: auto (default), cpu, cuda, cuda:1, ...")] = None,
    precision: Annotated[str | None, typer.Option(help="Precision: auto (default), float32 or bfloat16.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed (default: 0).")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, for example optimizer.lr=0.1; repeatable."),
    ] = None,
) -> None:
    """Train an encoder on coarse labels. Later settings win: recipe, config file, --set, flags."""
    from coarsecon import recipes
    from coarsecon.config import merge, parse_assignments, read_config_file
    from coarsecon.train.finetune_defaults import default_method

    flags: dict[str, dict[str, Any]] = {
        "data": {"path": data, "limit": limit},
        "backbone": {"name": backbone, "weights": init_from},
        "method": {"name": method},
        "schedule": {"epochs": epochs},
        "run": {"batch_size": batch_size, "device": device, "precision": precision, "seed": seed},
    }
    layers: dict[str, Any] = {}
    if resume:
        out = out or Path("runs") / (method or "maskcon")
        layers = _saved_settings(out)
    saved = layers
    if recipe:
        layers = merge(layers, recipes.read(recipe))
    if config:
        layers = merge(layers, read_config_file(config, warn=True))
    # Before --set, whose settings are meant for this method and this backbone and not for the recipe's.
    layers = merge(layers, given({"method": {"name": method}, "backbone": {"name": backbone}}))
    layers = merge(layers, parse_assignments(set_ or []))
    layers = merge(layers, given(flags))
    target = out or Path("runs") / str((layers.get("method") or {}).get("name") or default_method(layers))
    path = (layers.get("data") or {}).get("path")
    if resume and isinstance(path, str) and not Path(path).exists():
        raise no_dataset(path, target)
    run = RunFolder(target)
    is_known = "path" not in (layers.get("data") or {}) and run.config_file.is_file()
    if not resume and (is_known or run.checkpoint("last").exists()):
        raise InputError(target, "holds a run already", "pass --resume to continue it, or another --out")

    from coarsecon.runtime.distributed import connected
    from coarsecon.train.pretrain import pretrain
    from coarsecon.train.resolve import build_run_spec
    from coarsecon.train.resuming import check_same_settings, with_resumable, with_saved_version
    from coarsecon.train.stopping import InterruptedRunError

    layers = with_saved_version(saved, layers)
    with connected() as comm:
        planned = build_run_spec(layers, comm)
        if resume:
            started = build_run_spec(with_resumable(saved, layers), comm)
            check_same_settings(started.config, planned.config, target)
        reporter = Reporter() if comm.rank else ConsoleReporter()
        try:
            run = pretrain(planned, target, resume=resume, reporter=reporter, comm=comm)
        except (InterruptedRunError, KeyboardInterrupt) as stopped:
            if not RunFolder(target).config_file.is_file():  # it had not begun
                raise
            how = str(stopped) or "stopped at once, without saving"
            interrupted = InterruptedRunError(f"{how}; continue with: coarsecon pretrain --out {target} --resume")
            interrupted.reported_elsewhere = comm.rank > 0
            raise interrupted from None
        if comm.rank:
            return
    written = [run.encoder(), run.config_file, run.metrics_file, run.views_picture]
    closing(written, ["coarsecon", "retrieve", target])


def given(flags: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the options that were given, as a layer of settings."""
    layer = {
        section: {key: value for key, value in values.items() if value is not None} for section, values in flags.items()
    }
    return {section: values for section, values in layer.items() if values}


def _saved_settings(out: Path) -> dict[str, Any]:
    run = RunFolder(out)
    if not run.config_file.exists():
        raise InputError(out, "holds no run to resume (no config.yaml)", "leave --resume out to start one")
    run.check_format()
    return run.settings()
