"""A folder for the Hugging Face hub: what timm loads from there, with a model card filled from the run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from coarsecon import __version__, registry
from coarsecon.config import RunConfig
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.exporters import timm
from coarsecon.exporters.subject import Subject
from coarsecon.run.folder import last_epoch
from coarsecon.run.provenance import Verifier
from coarsecon.run.results import Result, Score, levels, scores


def write(subject: Subject, folder: Path) -> list[str]:
    """What `timm.write` writes, named as the hub's loader looks for it, and README.md. Returns what to know of it."""
    notes = timm.write(subject, folder, weights="model.safetensors")
    results = _own_results(subject)
    stale = [f"{result.name} ({result.freshness})" for result in results if not result.freshness.is_usable]
    (folder / "README.md").write_text(model_card(subject), encoding="utf-8")
    if stale:
        notes.append(f"left out of README.md: {'; '.join(stale)}. Evaluate again to include them.")
    return [*notes, "read README.md before it is shared: the licence and the purpose are yours to say"]


def push(folder: Path, repo: str) -> str:
    """Upload the folder to the model repository `repo` (OWNER/NAME), made if it is not there; returns its address.

    Raises:
        InputError: `repo` is no such name.
        CoarseconError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi()
    try:
        address = api.create_repo(repo, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repo, commit_message="Add the encoder")
    except HFValidationError as error:
        raise InputError(f"--push {repo}: not a name of a repository ({str(error).splitlines()[0]})") from None
    except Exception as error:  # the library and what it uses raise many kinds of error
        reason = str(error).strip().partition("\n")[0]
        raise CoarseconError(
            f"--push {repo}: the hub did not take it ({type(error).__name__}: {reason}); is HF_TOKEN set, or "
            f"`hf auth login` done? The folder is in {folder}"
        ) from error
    return str(address)


def model_card(subject: Subject) -> str:
    """The README of the model: method, data, settings, measured results, how to load it, terms of the data."""
    config, recipe = subject.run.config(), subject.card.input
    method, name = config.method.get("name", "?"), subject.run.root.resolve().name
    head = {"library_name": "timm", "pipeline_tag": "image-feature-extraction", "license": "unknown",
            "tags": ["timm", "image-feature-extraction", "coarsecon", "fine-grained", str(method)]}  # fmt: skip
    facts = {
        "method": method,
        "backbone": f"{subject.card.backbone.name}, {subject.encoder.dim} features, {subject.card.backbone.stem} stem",
        "learned from": _data(config),
        "recipe": config.recipe,
        "images seen": f"{recipe.size} px{_epochs(subject, config)}",
    }
    rows = [f"| {word} | {_cell(value)} |" for word, value in facts.items() if value]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {name}\n\nAn image encoder for fine-grained retrieval, trained with coarsecon {__version__}.",
        "\n".join(["| | |", "| --- | --- |", *rows]),
        f"## Measured\n\n{_results(subject)}",
        f"## Use\n\n{_use(subject)}",
        f"## Input\n\nRGB, the whole image resized to {recipe.size} x {recipe.size} px by antialiased bilinear, "
        f"normalised by mean {list(recipe.mean)} and std {list(recipe.std)} (on a scale of 0 to 1); "
        f"filter: {recipe.filter}. Compare features by their cosine.",
        f"## Data\n\n{_terms(config)}",
        f"## Settings\n\n```yaml\n{_settings(config)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _epochs(subject: Subject, config: RunConfig) -> str:
    """How long the run was trained; nothing where it tells nothing of that, as an imported one."""
    planned, done = config.schedule.epochs, last_epoch(subject.run.metrics())
    if not done:
        return ""
    count = str(planned) if done >= planned else f"{done} of {planned}, not finished,"
    best = ", the best weights among them" if subject.which == "best" else ""
    return f", {count} epochs of batches of {config.run.batch_size}{best}"


def _use(subject: Subject) -> str:
    lines = ["import timm", 'model = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()']
    if timm.architecture_module(subject) is not None:
        lines.insert(0, "import model  # model.py of this repository, which registers the architecture with timm")
    return "\n".join(["```python", *lines, "```"])


def _results(subject: Subject) -> str:
    usable = [result for result in _own_results(subject) if result.freshness.is_usable]
    rows = [
        f"| {_cell(result.name)} | {_cell(result.context.get('split', ''))} | {_cell(level)} | {text} |"
        for result in usable
        for level, part in levels(result.values).items()
        for text in _shown(part)
    ]
    if not rows:
        return "Nothing yet."
    table = "\n".join(["| result | split | labels | score in % |", "| --- | --- | --- | --- |", *rows])
    unverified = [result for result in usable if result.freshness.status == "unverified"]
    trained = [result for result in usable if result.record.get("training_images")]
    notes = [f"{_names(unverified)}: unverified, the checkpoint and the dataset are not recorded."] * bool(unverified)
    notes += [f"{_names(trained)}: measured on images of the training set, among others."] * bool(trained)
    return "\n\n".join([table, *notes])


def _own_results(subject: Subject) -> list[Result]:
    """The results of the encoder that is exported, with their freshness."""
    results = Verifier(subject.run).results()
    return [result for result in results if result.record.get("encoder", "last") == subject.which]


def _names(results: Sequence[Result]) -> str:
    return ", ".join(_cell(result.name) for result in results)


def _shown(part: dict[str, Any]) -> Iterator[str]:
    def number(score: Score) -> str:
        interval = "" if score.half_width is None else f" ± {100 * score.half_width:.2f}"
        return f"{score.name} {100 * score.value:.2f}{interval}"

    return (_cell(number(score)) for score in scores(part))


def _data(config: RunConfig) -> str:
    try:
        info = open_dataset(config.data.path).info if config.data.path else None
    except InputError:
        info = None
    name = info.name if info else Path(config.data.path or "?").name
    count = f", {info.splits['train'].count:,} images" if info and "train" in info.splits else ""
    return f"{name} ({config.data.labels} labels{count})"


def _terms(config: RunConfig) -> str:
    """The terms of the dataset's source where that is known."""
    try:
        assert config.data.path is not None
        source = registry.load(registry.DATASETS, open_dataset(config.data.path).info.name)
    except (AssertionError, CoarseconError):
        return "Say here whose the training images are, and what may be done with what was learned from them."
    return "\n\n".join(text for text in (f"Terms: {source.terms}", source.url, source.citation) if text)


def _settings(config: RunConfig) -> str:
    """The settings without the paths of the machine they were used on."""
    values = config.model_dump(mode="json", exclude={"data": {"path"}, "backbone": {"weights"}})
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _cell(value: object) -> str:
    """Text inside a Markdown table: a bar or a line break would end the cell."""
    return str(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
