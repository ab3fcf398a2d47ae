"""The forms that published code saves its encoders in: where the backbone and the heads are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Heads:
    """The heads of one of our methods: its settings, and each weight by our name and by the file's."""

    settings: dict[str, Any]
    names: dict[str, str]
    classes: int | None = None
    """Rows of the classifier; None without one."""
    for_filter: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings that go with an input filter."""


@dataclass(frozen=True)
class Form:
    """One form of checkpoint.

    `prefixes` is what stands before the backbone's names, of which the first that occurs counts; `heads(state)` finds
    the heads of the method here that is called as the form is, None where there are none.
    """

    about: str
    prefixes: tuple[str, ...]
    heads: Callable[[State], Heads | None] = lambda state: None
    needs_filter: bool = False
    """Whether its images may have been filtered, which the weights do not tell."""


def _linear_names(ours: str, theirs: str, *layers: str) -> dict[str, str]:
    return {f"{ours}.{layer}.{part}": f"{theirs}{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def two_layers(prefix: str) -> Callable[[State], Heads | None]:
    """Linear - ReLU - Linear at `prefix` as a method's projector; None where there is anything else."""

    def heads(state: State) -> Heads | None:
        names = _linear_names("projector", prefix, "0", "2")
        if not _all_linear(state, names):
            return None
        hidden, dim = (len(state[f"{prefix}{layer}.weight"]) for layer in ("0", "2"))
        return Heads({"hidden": hidden, "dim": dim}, names)

    return heads


def _ascl_heads(state: State) -> Heads | None:
    found = two_layers("encoder_q.projector.")(state)
    if found is not None and any(name.startswith("predictor.") for name in state):
        found.settings["base"] = "byol"
    return found


def _salmask_heads(state: State) -> Heads | None:
    found = two_layers("encoder_q.fc.")(state)
    return found and replace(found, for_filter={"high-pass": {"strategy": "hp"}, "none": {"strategy": "blur"}})


def _ancor_heads(state: State) -> Heads | None:
    """`fc` is the embedding fc1 and the classifier fc2, behind a hidden layer (`--mlp`) or not."""
    mlp = "encoder_q.fc.0.weight" in state
    last = "encoder_q.fc.2." if mlp else "encoder_q.fc."
    names = _linear_names("projector", "encoder_q.fc.", "0") if mlp else {}
    place = "2" if mlp else "0"
    names |= {f"projector.{place}.{part}": f"{last}fc1.{part}" for part in ("weight", "bias")}
    names |= {f"classifier.{part}": f"{last}fc2.{part}" for part in ("weight", "bias")}
    if not _all_linear(state, names):
        return None
    embedding, classifier = state[f"{last}fc1.weight"], state[f"{last}fc2.weight"]
    settings: dict[str, Any] = {"mlp": mlp, "dim": len(embedding), "classifier": "relu"}
    settings["head"] = "seq" if classifier.shape[1] == len(embedding) else "fork"
    if mlp:
        settings["hidden"] = len(state["encoder_q.fc.0.weight"])
    return Heads(settings, names, classes=len(classifier))


def _all_linear(state: State, names: Mapping[str, str]) -> bool:
    wanted = {name: 2 if name.endswith("weight") else 1 for name in names.values()}
    return all(name in state and state[name].ndim == ndim for name, ndim in wanted.items())


FORMS: dict[str, Form] = {
    "maskcon": Form(
        "MaskCon (Feng & Patras, CVPR 2023)",
        ("encoder_q.net.", "net."), two_layers("encoder_q.projector."),
    ),
    "ancor": Form("ANCOR (Bukchin et al., CVPR 2021)", ("encoder_q.",), _ancor_heads),
    "supcon": Form("SupContrast (Khosla et al., NeurIPS 2020)", ("encoder.",), two_layers("head.")),
    "ascl": Form("ASCL (Feng & Patras, ICPR 2022)", ("encoder_q.net.", "net."), _ascl_heads),
    "moco": Form("MoCo (He et al., CVPR 2020)", ("encoder_q.",), two_layers("encoder_q.fc.")),
    "salmask": Form(
        "saliency-guided masking (Chin et al., WACV 2024)", ("encoder_q.",), _salmask_heads, needs_filter=True
    ),
    "swav": Form("SwAV (Caron et al., NeurIPS 2020)", ("",)),
    "timm": Form("a timm model, or what `coarsecon export` wrote", ("",)),
    "torchvision": Form("a torchvision ResNet", ("",)),
}  # fmt: skip
