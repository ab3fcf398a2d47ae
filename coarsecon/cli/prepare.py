"""Read a dataset from its original files, verify it, and write it in the prepared form."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from coarsecon import registry
from coarsecon.cli.console import JsonFile, closing, emit_json, processors, table
from coarsecon.cli.generated import options_of
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter

if TYPE_CHECKING:
    from coarsecon.data.prepare.balance import Balance
    from coarsecon.data.prepared.schema import DatasetInfo
    from coarsecon.data.prepared.store import PreparedDataset
    from coarsecon.data.sources import Source


MAX_CLASS_ROWS = 30
"""Maximum number of classes that are listed one by one."""


class DatasetGroup(TyperGroup):
    """A group with a command for each dataset: the options of `prepare`, and those of the dataset."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments; options may precede the name of the dataset."""
        name, command = self._dataset(args), self.command_for(args)
        if name is None or command is None:
            return super().make_context(info_name, args, parent, **extra)
        rest = [word for place, word in enumerate(args) if place != args.index(name)]
        return command.make_context(f"{info_name} {name}", rest, parent, **extra)

    def command_for(self, args: list[str]) -> Any:
        """Return the command of the dataset that the arguments name, or None if they name none."""
        name = self._dataset(args)
        if name is None:
            return None
        from coarsecon.data.sources import find_source

        source = find_source(name)
        command = typer.Typer(rich_markup_mode=self.rich_markup_mode)
        command.command(context_settings=dict(self.context_settings), help=source.about)(_for_source(source))
        return typer.main.get_command(command)

    def _dataset(self, args: list[str]) -> str | None:
        """Return the first installed dataset among the arguments, else the first that is no option or value."""
        options = [option for option in self.params if isinstance(option, TyperOption) and not option.is_flag]
        with_value = {word for option in options for word in option.opts}
        words = [
            word
            for before, word in zip(["", *args], args, strict=False)
            if not word.startswith("-") and before not in with_value
        ]
        return next((word for word in words if word in self.list_commands(None)), next(iter(words), None))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all datasets."""
        return sorted({entry.name for entry in registry.entries(registry.DATASETS)})

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a stand-in with the name and summary of a dataset, whose source is not imported."""
        claims = [entry for entry in registry.entries(registry.DATASETS) if entry.name == name]
        return (
            TyperCommand(name, short_help=claims[0].describe().summary, rich_help_panel="Datasets") if claims else None
        )


prepare = typer.Typer(cls=DatasetGroup, subcommand_metavar="NAME")


@prepare.callback()
def shared_options(
    source: Annotated[Path | None, typer.Option(help="Folder or archive of the original files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write. Default: data/NAME.")] = None,
    size: Annotated[
        int | None,
        typer.Option(min=8, max=4096, help="Image size in pixels that the encoder will see. Default: the dataset's."),
    ] = None,
    resize_shorter: Annotated[
        int | None, typer.Option(min=8, max=4096, help="Write copies with a shorter side of at most N pixels.")
    ] = None,
    copies: Annotated[
        Literal["jpeg", "png"] | None, typer.Option(help="File format of the copies. Default: the dataset's, or jpeg.")
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")] = False,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=FRACTION,...",
            help="Hold out fractions of the training images, such as test=0.2,val=0.1: stratified by class, with "
            "duplicates and groups kept together. Default: the splits of the source.",
        ),
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Random seed of --split.")] = 0,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Leave out the images that a CSV or Parquet table lists, such as the one that `data audit` writes.",
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download the original files if they are missing.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a prepared dataset at --out.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that convert images. Default: one per processor.")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Read a dataset from its original files, verify it, and write it in the prepared form.

    A dataset may have further options: `coarsecon prepare NAME --help` shows them.
    """


def _for_source(source: "Source") -> Callable[..., None]:
    """Return the command of one dataset: the options of `prepare` and those of the source."""

    def command(**values: Any) -> None:
        _prepare(source, **values)

    shared = list(inspect.signature(shared_options).parameters.values())
    own = options_of(source.Config)
    options = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in (*shared[:2], *own, *shared[2:])]
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


@single_process
def _prepare(reader: "Source", *, out: Path | None, workers: int | None, json: str | None, **options: Any) -> None:
    from coarsecon.data.prepare.balance import balance
    from coarsecon.data.prepare.dataset import prepare_dataset

    target = out or Path("data") / reader.name
    reporter = ConsoleReporter()
    given = {name: value for name, value in options.items() if value is not None}
    dataset = prepare_dataset(reader, target, workers=workers or processors(), reporter=reporter, **given)
    info = dataset.info
    found = balance({level: column.numpy() for level, column in dataset.split("train").labels.items()}, info.levels)
    per_class = _per_class(dataset) if given.get("split") else {}
    if json:
        emit_json({**_facts(info, found), **({"per_class": per_class} if per_class else {})}, json)
    if json != "-":
        _show(info, found)
        for level, counts in per_class.items():
            _show_classes(level, counts)
    if info.notes:
        reporter.info(info.notes)
    closing([target], ["coarsecon", "pretrain", "--data", target, "--out", f"runs/{target.name}"])


def _show(info: "DatasetInfo", found: "Balance") -> None:
    splits = [(split, f"{part.count:,}") for split, part in info.splits.items()]
    table(f"{info.name}, {info.size} px", ["split", "images"], splits)
    rows = [
        (level, f"{b.classes:,}", f"{b.smallest:,}", f"{b.median:,g}", f"{b.largest:,}", f"{b.unknown:,}")
        for level, b in found.levels.items()
    ]
    table("Training images per class", ["level", "classes", "smallest", "median", "largest", "unlabeled"], rows)


def _per_class(dataset: "PreparedDataset") -> dict[str, dict[str, dict[str, int]]]:
    """Return the number of images of each class of the finest level in each split."""
    from coarsecon.data.prepare.balance import counts_by_split
    from coarsecon.data.prepare.splitting import finest_labels

    level, _ = finest_labels({level: column.numpy() for level, column in dataset.split("train").labels.items()})
    columns = {name: split.labels[level].numpy() for name, split in dataset.splits.items()}
    return {level: counts_by_split(columns, dataset.info.levels[level])}


def _show_classes(level: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Print the images per class and split, or their distribution if there are many classes."""
    splits = list(next(iter(counts.values())))
    title = f"Images per {level} class"
    if len(counts) <= MAX_CLASS_ROWS:
        table(title, ["class", *splits], [[name, *(f"{n:,}" for n in row.values())] for name, row in counts.items()])
        return
    columns = [sorted(row[split] for row in counts.values()) for split in splits]
    rows = [
        ["smallest", *(f"{column[0]:,}" for column in columns)],
        ["median", *(f"{median(column):,g}" for column in columns)],
        ["largest", *(f"{column[-1]:,}" for column in columns)],
        ["classes without images", *(f"{column.count(0):,}" for column in columns)],
    ]
    table(f"{title} ({len(counts):,} classes)", ["", *splits], rows)


def _facts(info: "DatasetInfo", found: "Balance") -> Mapping[str, Any]:
    """Return the JSON of a prepared dataset."""
    return {
        "name": info.name, "size": info.size, "form": info.form, "notes": info.notes,
        "splits": {split: {"count": part.count, "broken": part.broken} for split, part in info.splits.items()},
        "levels": {level: asdict(part) for level, part in found.levels.items()},
        "coarse_with_one_fine": found.lone,
    }  # fmt: skip
