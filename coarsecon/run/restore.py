"""Restore the method of a run for evaluation: the trained encoder and heads, without training state."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from coarsecon import registry
from coarsecon.config import Checkpoint, validate
from coarsecon.errors import InputError
from coarsecon.methods.base import Method, Setup
from coarsecon.nn.encoder import Encoder, load_encoder, plain_state
from coarsecon.run.folder import RunFolder
from coarsecon.run.missing import no_encoder
from coarsecon.run.parts import one_encoder_needed
from coarsecon.runtime.device import to_device
from coarsecon.runtime.documents import parse_json
from coarsecon.runtime.file_sets import settled_file
from coarsecon.runtime.files import atomic_write

TRAIN_AGAIN = "restore the file, or resume the run to write it again"


def open_encoder(run: RunFolder, checkpoint: Checkpoint = "last", device: torch.device | str = "cpu") -> Encoder:
    """Load an encoder of a run, on `device`, in evaluation mode.

    Raises:
        InputError: There is no such encoder (yet), or it cannot be read.
    """
    if run.is_combined:
        raise one_encoder_needed(run)
    try:
        return load_encoder(run.encoder(checkpoint), device)
    except FileNotFoundError as error:
        raise no_encoder(Path(error.filename)) from None


def saved_modules(method: Method) -> dict[str, nn.Module]:
    """Return the modules of a method that a run saves, by name: the encoder, and the heads that it has."""
    return {name: getattr(method, name) for name in ("encoder", *method.heads) if hasattr(method, name)}


def save_heads(heads: Mapping[str, nn.Module], classes: Sequence[str], path: Path, *, encoder: Path) -> None:
    """Write the weights of a method's heads by name, with the names of the classes it is trained on, in one move.

    `encoder` is the file of their encoder; its digest is saved with them.
    """
    state = {f"{name}.{key}": value for name, head in heads.items() for key, value in plain_state(head).items()}
    atomic_write(path, heads_file(state, classes, encoder))


def heads_file(state: Mapping[str, Tensor], classes: Sequence[str], encoder: Path) -> bytes:
    """Return weights of heads as safetensors, with the classes and the digest of the encoder's file as metadata.

    The same input gives the same bytes: safetensors itself writes metadata in random order.
    """
    content = save(dict(state))
    end = 8 + int.from_bytes(content[:8], "little")
    metadata = {"classes": json.dumps(list(classes)), "encoder": _digest(encoder)}
    header = json.dumps({"__metadata__": metadata, **json.loads(content[8:end])}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def load_method(
    run: RunFolder, which: Checkpoint = "last", device: torch.device | str = "cpu", *, encoder: Encoder | None = None
) -> Method:
    """The method of a run with its saved encoder and heads, in evaluation mode on `device`.

    `encoder` is that encoder where it was loaded before. The memory of keys is empty. Neither the dataset nor the
    files that the weights were initialized from are read.

    Raises:
        InputError: the run keeps no heads, its method is not installed, or the files do not fit each other.
    """
    path = _heads_file(run, which)
    state, classes, belongs_to = _read_heads(path)
    if belongs_to is not None and belongs_to != _digest(run.encoder(which)):
        raise InputError(
            f"{path}: these heads were saved with another encoder than {run.encoder(which).name}; if the run is being "
            "trained, run the command again, else copy all files of the run again"
        )
    config = run.config()
    name = config.method["name"]
    method_class = registry.load(registry.METHODS, name)
    settings = validate(
        method_class.Config, {key: value for key, value in config.method.items() if key != "name"}, section="method"
    )
    encoder = encoder or open_encoder(run, which)
    image = encoder.card.input
    setup = Setup(
        encoder=encoder.backbone,
        feature_dim=encoder.dim,
        num_classes=len(classes),
        image_size=image.size,
        mean=image.mean,
        std=image.std,
        interpolation=image.interpolation,
    )
    method: Method = method_class(method_class.for_evaluation(settings), setup)
    for head in method.heads:
        if hasattr(method, head):
            prefix = f"{head}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            try:
                getattr(method, head).load_state_dict(own)
            except RuntimeError:
                raise InputError(
                    f"{path}: the {head} does not fit the method {name} as it is installed now; "
                    "evaluate with the version the run was made with"
                ) from None
    return to_device(method, device).eval()


def coarse_classes(run: RunFolder, which: Checkpoint = "last") -> list[str]:
    """Return the names of the classes the run was trained on, in the order of its method's `coarse_logits`.

    Raises:
        InputError: the run keeps no heads.
    """
    return _read_heads(_heads_file(run, which))[1]


def _heads_file(run: RunFolder, which: Checkpoint) -> Path:
    """Return the file of heads.

    Raises:
        InputError: There is no such encoder, or it is the initial one, which has no heads.
    """
    encoder = run.encoder(which)
    if not encoder.is_file() and not settled_file(encoder).is_file():
        raise no_encoder(encoder)
    if which == "initial":
        raise InputError(
            run.root, "the initial encoder has no heads: they are trained with the last one", "use the layer backbone"
        )
    return run.heads(which)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise no_encoder(path) from None


def _read_heads(path: Path) -> tuple[dict[str, Tensor], list[str], str | None]:
    """Return the weights, the class names, and the digest of their encoder if it is recorded."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            classes = parse_json(metadata["classes"], f"{path}, classes", remedy=TRAIN_AGAIN)
            if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
                raise InputError(path, "the classes are not a list of names", TRAIN_AGAIN)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, classes, metadata.get("encoder")
    except FileNotFoundError:
        if settled_file(path) != path:  # a training has put it in place in the meantime
            return _read_heads(settled_file(path))
        raise InputError(
            f"{path}: this run kept no heads (it was made by an older version, or has not finished its first epoch); "
            "the backbone's features can be evaluated, its projector and classifier cannot: train it again for those"
        ) from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"the heads cannot be read ({str(error).splitlines()[0]})", TRAIN_AGAIN) from None
