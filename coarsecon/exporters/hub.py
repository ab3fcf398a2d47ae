"""A folder for the Hugging Face hub: what timm loads from there, with a model card filled from the run."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field

from coarsecon import registry
from coarsecon.config import RunConfig
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.exporters import timm
from coarsecon.exporters.base import Exporter, ExporterConfig
from coarsecon.exporters.comparison import encoder_of
from coarsecon.metrics.metric import Metric
from coarsecon.nn.encoder import Encoder
from coarsecon.run.log import last_epoch
from coarsecon.run.provenance import Verifier
from coarsecon.run.results import StoredResult

if TYPE_CHECKING:
    from coarsecon.run.facade import Run


class Hub(Exporter):
    """A folder for the Hugging Face hub, with a model card; can upload it."""

    class Config(ExporterConfig):
        """Settings of the exporter."""

        push: str | None = Field(
            None,
            description="Upload to this repository of the hub. Default: nothing is uploaded.",
            json_schema_extra={"metavar": "OWNER/NAME"},
        )

    def export(self, run: "Run", folder: Path, config: ExporterConfig) -> list[str]:
        """Write what timm loads from the hub, and README.md."""
        notes = timm.write_folder(run, folder, weights="model.safetensors")
        stale = [f"{result.name} ({result.freshness})" for result in _results_of(run) if not result.freshness.is_usable]
        (folder / "README.md").write_text(model_card(run, encoder_of(run)), encoding="utf-8")
        if stale:
            notes.append(f"left out of README.md: {'; '.join(stale)}. Evaluate again to include them.")
        return [*notes, "read README.md before publishing it, and fill in the license and the purpose"]

    def publish(self, folder: Path, config: Any) -> list[str]:
        """Upload the folder if a repository is given."""
        return [] if config.push is None else [f"pushed to {push(folder, config.push)}"]


def push(folder: Path, repository: str) -> str:
    """Upload the folder to a model repository of the hub, OWNER/NAME, which is created if needed; returns its address.

    Raises:
        InputError: The name of the repository is malformed.
        CoarseconError: The hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi()
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message="Add the encoder")
    except HFValidationError as error:
        raise InputError("push", f"{repository!r} is no name of a repository ({str(error).splitlines()[0]})") from None
    except Exception as error:  # the library and what it uses raise many kinds of error
        reason = str(error).strip().partition("\n")[0]
        raise CoarseconError(
            f"upload of {folder} to {repository}",
            f"failed ({type(error).__name__}: {reason})",
            "set HF_TOKEN or run `hf auth login`; the folder is kept",
        ) from error
    return str(address)


def model_card(run: "Run", encoder: Encoder) -> str:
    """Return the README of the model: method, data, settings, results, how to load it, terms of the data."""
    config, recipe = run.folder.config(), encoder.card.input
    method, name = config.method.get("name", "?"), run.folder.root.resolve().name
    head = {"library_name": "timm", "pipeline_tag": "image-feature-extraction", "license": "unknown",
            "tags": ["timm", "image-feature-extraction", "coarsecon", "fine-grained", str(method)]}  # fmt: skip
    facts = {
        "method": method,
        "backbone": f"{encoder.card.backbone.name}, {encoder.dim} features, {encoder.card.backbone.stem} stem",
        "trained on": _data(config),
        "recipe": config.recipe,
        "images seen": f"{recipe.size} px{_epochs(run, config)}",
    }
    rows = [f"| {word} | {_cell(value)} |" for word, value in facts.items() if value]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {name}\n\nAn image encoder for fine-grained retrieval, trained with coarsecon {version('coarsecon')}.",
        "\n".join(["| | |", "| --- | --- |", *rows]),
        f"## Measured\n\n{_results(run)}",
        f"## Use\n\n{_use(encoder)}",
        f"## Input\n\nRGB, {recipe.framing}, "
        f"normalized by mean {list(recipe.mean)} and std {list(recipe.std)} (on a scale of 0 to 1); "
        f"filter: {recipe.filter}. Compare features by their cosine.",
        f"## Data\n\n{_terms(config)}",
        f"## Settings\n\n```yaml\n{_settings(config)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _epochs(run: "Run", config: RunConfig) -> str:
    """Return the length of the training in words; nothing for a run without a log, such as an imported one."""
    planned, done = config.schedule.epochs, last_epoch(run.folder.metrics())
    if not done:
        return ""
    count = str(done) if planned is None or done >= planned else f"{done} of {planned}, not finished,"
    if run.spec.checkpoint == "initial":
        return ", the weights before the first epoch"
    best = ", the best weights among them" if run.spec.checkpoint == "best" else ""
    return f", {count} epochs of batches of {config.run.batch_size}{best}"


def _use(encoder: Encoder) -> str:
    lines = ["import timm", 'model = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()']
    if timm.architecture_module(encoder) is not None:
        lines.insert(0, "import model  # model.py of this repository, which registers the architecture with timm")
    return "\n".join(["```python", *lines, "```"])


def _results(run: "Run") -> str:
    usable = [result for result in _results_of(run) if result.freshness.is_usable]
    rows = [
        f"| {' | '.join([*map(_cell, (result.name, result.context.get('split', ''), metric.group)), _shown(metric)])} |"
        for result in usable
        for metric in result.metrics.values()
        if metric.is_fraction and metric.kind != "chance"
    ]
    if not rows:
        return "Nothing yet."
    table = "\n".join(["| result | split | labels | score in % |", "| --- | --- | --- | --- |", *rows])
    unverified = [result for result in usable if result.freshness.status == "unverified"]
    trained = [result for result in usable if result.record.get("training_images")]
    notes = [f"{_names(unverified)}: unverified, the checkpoint and the dataset are not recorded."] * bool(unverified)
    notes += [f"{_names(trained)}: measured on images of the training set, among others."] * bool(trained)
    return "\n\n".join([table, *notes])


def _results_of(run: "Run") -> list[StoredResult]:
    """Return the stored results of the exported checkpoint, with their freshness."""
    results = Verifier(run.folder).results()
    return [result for result in results if result.record.get("checkpoint", "last") == run.spec.checkpoint]


def _names(results: Sequence[StoredResult]) -> str:
    return ", ".join(_cell(result.name) for result in results)


def _shown(metric: Metric) -> str:
    interval = "" if metric.interval is None else f" ± {100 * metric.interval:.2f}"
    return _cell(f"{metric.name} {100 * metric.value:.2f}{interval}")


def _data(config: RunConfig) -> str:
    try:
        info = open_dataset(config.data.path).info if config.data.path else None
    except InputError:
        info = None
    name = info.name if info else Path(config.data.path or "?").name
    count = f", {info.splits['train'].count:,} images" if info and "train" in info.splits else ""
    return f"{name} ({config.data.labels} labels{count})"


def _terms(config: RunConfig) -> str:
    """Return the terms of the dataset's source, if it is known."""
    try:
        assert config.data.path is not None
        source = registry.load(registry.DATASETS, open_dataset(config.data.path).info.name)
    except (AssertionError, CoarseconError):
        return "State here who owns the training images, and the terms of use of models trained on them."
    return "\n\n".join(text for text in (f"Terms: {source.terms}", source.url, source.citation) if text)


def _settings(config: RunConfig) -> str:
    """Return the settings without the paths of this machine."""
    values = config.model_dump(mode="json", exclude={"data": {"path"}, "backbone": {"weights"}})
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _cell(value: object) -> str:
    """Escape text for a cell of a Markdown table, which a bar or a line break would end."""
    return str(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
