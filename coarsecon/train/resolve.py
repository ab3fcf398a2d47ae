"""Resolve layers of settings to a run that is ready to start; mistakes are reported before anything is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from coarsecon import registry
from coarsecon.config import RunConfig, merge, validate
from coarsecon.data.prepared.store import PreparedDataset, Split, open_dataset
from coarsecon.data.prepared.unlabeled import unlabeled_note
from coarsecon.errors import InputError
from coarsecon.methods import Method, Setup
from coarsecon.nn.backbone import check_image_size, create_backbone, feature_dim, resolve_stem
from coarsecon.nn.encoder import EncoderCard, InputTransform
from coarsecon.nn.sync_batch_norm import synchronize_batch_norm
from coarsecon.nn.weights import LoadedWeights
from coarsecon.run.training_images import training_images
from coarsecon.runtime.device import choose_device, choose_precision, to_device
from coarsecon.runtime.distributed import Distributed
from coarsecon.train import compiled, monitor
from coarsecon.train.finetune_defaults import default_method, defaults_of, describe
from coarsecon.train.finetuning import check_finetuning, freeze
from coarsecon.train.input_transform import choose_input_transform
from coarsecon.train.length import batch_size_of, with_length
from coarsecon.train.optimizer import check_optimizer
from coarsecon.train.schedule import cycles_of, epochs_of, warmup_of
from coarsecon.train.small_data import small_data_notes


@dataclass(frozen=True)
class RunSpec:
    """A run that is ready to start: resolved settings (only the device may be `auto`) and the objects they name."""

    config: RunConfig
    method_class: type[Method]
    method_settings: Any
    dataset: PreparedDataset
    split: Split
    card: EncoderCard
    device: torch.device
    left_out: str = ""
    """A sentence on training images without a label, if there are any."""
    defaults: str = ""
    """A sentence on the defaults for pretrained weights, if the run starts from some."""
    transform_note: str = ""
    """A sentence on the input transform of a run that starts from weights."""
    restored: bool = False
    """True if a saved state will be loaded, so that no initial weights are needed."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in an epoch."""
        return len(self.split) // self.batch_size

    @property
    def batch_size(self) -> int:
        """The global batch size in images."""
        return batch_size_of(self.config)

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return epochs_of(self.config.schedule)

    def summary(self) -> str:
        """Describe the training in one line."""
        config, epochs = self.config, self.epochs
        return (
            f"{config.method['name']} with {config.backbone.name} on {len(self.split):,} images at "
            f"{config.data.size} px, {epochs} epoch{'s' * (epochs != 1)}, {self.device} in {config.run.precision}"
        )

    def notes(self) -> list[str]:
        """Return notes on the input transform, defaults, images without a label, and data that is too small."""
        is_held_out = bool(self.config.data.validation)
        monitored = [] if is_held_out else monitor.unlabeled_notes(self.dataset, self.config.data.labels)
        level = self.config.data.labels
        small = small_data_notes(
            self.config, self.method_class, self.method_settings, self.split.labels[level],
            self.dataset.info.levels[level],
        )  # fmt: skip
        monitored *= bool(self.config.run.monitor_every)
        notes = (self.transform_note, self.defaults, self.left_out, *monitored, *small)
        return [note for note in notes if note]

    def restore(self, saved: InputTransform | None) -> "RunSpec":
        """Return the specification for a saved state, with the input transform it was trained with if it is given."""
        card = self.card if saved is None else self.card.model_copy(update={"input": saved})
        return replace(self, restored=True, card=card, transform_note="")

    def build_method(
        self, comm: Distributed | None = None, on_weights: Callable[[LoadedWeights], None] | None = None
    ) -> Method:
        """Build the method with its initial weights, which depend on the seed only, on the run's device.

        `on_weights` is called with a report of pretrained weights that were loaded into the backbone.
        """
        backbone, image, batch_norm = self.config.backbone, self.card.input, self.config.run.batch_norm
        comm, settings = comm or Distributed(), self.method_settings
        if self.restored:
            backbone = backbone.model_copy(update={"weights": None, "weights_key": None, "pretrained": False})
            settings = self.method_class.for_restoring(settings)
        splits_per_rank = max(1, backbone.batch_norm_splits // comm.world_size)
        backbone = backbone.model_copy(update={"batch_norm_splits": splits_per_rank})
        with torch.random.fork_rng():
            torch.manual_seed(self.config.run.seed)
            loaded: list[LoadedWeights] = []
            encoder = create_backbone(backbone, image.size, loaded.append)
            if loaded and on_weights:
                on_weights(loaded[0])
            if not self.restored:  # earlier versions trained transformers whose patches do not divide the image
                check_image_size(encoder, image.size)
            random_entries = [entry for report in loaded for entry in report.new]
            freeze(encoder, self.config.finetune, image.size, random_entries)
            setup = Setup(
                encoder=encoder,
                feature_dim=feature_dim(encoder),
                num_classes=len(self.dataset.info.levels[self.config.data.labels]),
                image_size=image.size,
                mean=image.mean,
                std=image.std,
                interpolation=image.interpolation,
                comm=comm,
                shuffle_keys=batch_norm == "shuffle",
            )
            method = self.method_class(settings, setup)
        if batch_norm == "sync" and comm.world_size > 1:
            synchronize_batch_norm(method, comm)
        return to_device(method, self.device)


def build_run_spec(layers: Mapping[str, Any], comm: Distributed | None = None) -> RunSpec:
    """Check merged layers of settings against the method, the dataset and the machine.

    Raises:
        InputError: A setting, the dataset or the device cannot be used.
    """
    name = str((layers.get("method") or {}).get("name") or default_method(layers))
    layers = merge({"method": {"name": name}}, layers)
    method_class = registry.load_class(registry.METHODS, name, Method)
    config = validate(RunConfig, merge(method_class.defaults, layers))
    own = {key: value for key, value in config.method.items() if key != "name"}
    method_settings = validate(method_class.Config, own, section="method")

    if config.data.path is None:
        raise InputError("data.path", "no dataset is given", "make one with `coarsecon prepare`")
    dataset, config, layers = _at_version(open_dataset(config.data.path), config, layers)
    split, left_out = _training_split(dataset, config, needs_labels=method_class.needs_labels)
    gentle = defaults_of(config, layers, len(split))
    if gentle:
        config = validate(RunConfig, merge(merge(method_class.defaults, gentle), layers))
    if config.data.validation and monitor.has_validation(dataset):
        config = config.model_copy(update={"data": config.data.model_copy(update={"validation": 0.0})})
    if config.data.validation:
        split, left_out = _training_split(dataset, config, needs_labels=method_class.needs_labels)
    _check_batch_size(config, split, left_out)
    if method_class.needs_labels:
        left_out = " ".join(filter(None, [left_out, _single_class_note(split, config, dataset, method_class)]))
    image_size = config.data.size or dataset.info.size
    method_settings = method_class.resolve(
        method_settings, image_size=image_size, images=len(split), classes=len(dataset.info.levels[config.data.labels])
    )
    config = with_length(config, len(split))
    _check_lengths(config)
    if (
        config.run.batch_norm == "sync"
        and config.backbone.batch_norm_splits > 1
        and (comm or Distributed()).world_size > 1
    ):
        raise InputError(
            "run.batch_norm",
            "sync shares the batch statistics that backbone.batch_norm_splits separates",
            "set backbone.batch_norm_splits to 1, or run.batch_norm to shuffle or local",
        )
    check_optimizer(config.optimizer)
    check_finetuning(config)
    device = choose_device(config.run.device)
    steps = epochs_of(config.schedule) * (len(split) // batch_size_of(config))
    chosen = {
        "precision": (comm or Distributed()).broadcast_object(lambda: choose_precision(config.run.precision, device)),
        "compile": compiled.should_compile(device, steps) if config.run.compile is None else config.run.compile,
    }
    chosen_input, transform, transform_note = choose_input_transform(config.backbone, dataset, image_size)
    resolved = config.model_copy(
        update={
            "data": config.data.model_copy(update={"path": dataset.root.resolve(), "size": image_size}),
            "backbone": resolve_stem(config.backbone, image_size).model_copy(update={"input_transform": chosen_input}),
            "schedule": config.schedule.model_copy(
                update={"warmup_epochs": warmup_of(config.schedule), "cycles": cycles_of(config.schedule)}
            ),
            "method": {"name": name, **method_settings.model_dump(mode="json")},
            "run": config.run.model_copy(update=chosen),
        }
    )
    card = EncoderCard(
        backbone=resolved.backbone.model_copy(
            update={"weights": None, "weights_key": None, "pretrained": False, "batch_norm_splits": 1}
        ),
        input=transform.model_copy(update={"filter": method_class.input_filter(method_settings)}),
    )
    gentle_note = describe(gentle, layers, resolved)
    return RunSpec(
        resolved, method_class, method_settings, dataset, split, card, device, left_out, gentle_note, transform_note
    )


def _check_lengths(config: RunConfig) -> None:
    """Refuse settings that would fail late or not at all: more cycles than epochs, batch statistics of one image."""
    cycles, epochs = cycles_of(config.schedule), epochs_of(config.schedule)
    if config.schedule.name == "cyclic" and cycles > epochs:
        raise InputError(
            "schedule.cycles", f"{cycles} must not exceed schedule.epochs ({epochs})", "set schedule.cycles to 1"
        )
    splits, images = config.backbone.batch_norm_splits, batch_size_of(config)
    if splits > 1 and images < 2 * splits:
        raise InputError(
            "backbone.batch_norm_splits",
            f"{splits} groups of a batch of {images} have fewer than 2 images each",
            f"use at most {images // 2}, or a batch of at least {2 * splits}",
        )


def _at_version(
    dataset: PreparedDataset, config: RunConfig, layers: Mapping[str, Any]
) -> tuple[PreparedDataset, RunConfig, Mapping[str, Any]]:
    """Return the dataset with the levels that a training uses, and the settings with the version of a label column.

    With its version, the column means the same labels when the run is resumed. Other columns are left out, apart from
    fine labels, which are monitored.
    """
    level = config.data.labels
    if level in dataset.columns:
        level = dataset.columns[level].level
        config = config.model_copy(update={"data": config.data.model_copy(update={"labels": level})})
        layers = merge(layers, {"data": {"labels": level}})
    return dataset.with_levels(level, "fine"), config, layers


def _training_split(dataset: PreparedDataset, config: RunConfig, *, needs_labels: bool) -> tuple[Split, str]:
    """Return the training images, and a note on those excluded because they have no label."""
    level, root = config.data.labels, dataset.root
    if level not in dataset.info.levels:
        raise InputError(
            "data.labels", f"{root} has no {level!r} labels", f"it has {', '.join(open_dataset(root).info.levels)}"
        )
    split, left_out = training_images(dataset.split("train"), config, needs_labels=needs_labels), ""
    if needs_labels:
        if not len(split):
            raise InputError(
                "data.labels", f"no training image of {root} has a {level} label", "train on another level"
            )
        columns = {"train": dataset.split("train").labels[level]}
        left_out = unlabeled_note(level, columns, f"and are left out (data.labels={level})")
    if len(split) < 2:
        raise InputError(
            root,
            f"training needs at least 2 images, found {len(split)}{f' ({left_out})' * bool(left_out)}",
            "add images to the training split, or raise data.limit if it is set",
        )
    return split, left_out


def _check_batch_size(config: RunConfig, split: Split, left_out: str) -> None:
    if len(split) < (config.run.batch_size or 0):
        raise InputError(
            "run.batch_size",
            f"{config.run.batch_size} is more than the {len(split)} training images{f' ({left_out})' * bool(left_out)}",
            f"set it to {max(2, min(32, len(split) // 2))}",
        )


def _single_class_note(split: Split, config: RunConfig, dataset: PreparedDataset, method: type[Method]) -> str:
    """Return a warning if all training images have one class; raise InputError if the method needs several."""
    level = config.data.labels
    classes = split.labels[level].unique()
    if len(classes) > 1:
        return ""
    name = dataset.info.levels[level][int(classes[0])]
    problem = f"all {len(split):,} training images are of one {level} class ({name})"
    remedy = "train on another level (data.labels), or with a method that needs no labels (moco)"
    if method.min_classes > 1:
        method_name = config.method["name"]
        raise InputError(dataset.root, f"{problem}, and {method_name} needs several classes", remedy)
    return f"Warning: {problem}: its label does not distinguish them; {remedy}."
