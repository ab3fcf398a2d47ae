"""The forms in which published code saves its encoders."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coarsecon.importers.base import Heads, Importer, State


class MaskCon(Importer):
    """MaskCon (Feng & Patras, CVPR 2023)."""

    prefixes = ("encoder_q.net.", "net.")

    def heads(self, state: State) -> Heads | None:
        """Find the projector."""
        return two_layers(state, "encoder_q.projector.")


class ANCOR(Importer):
    """ANCOR (Bukchin et al., CVPR 2021)."""

    prefixes = ("encoder_q.",)

    def heads(self, state: State) -> Heads | None:
        """Find the embedding fc1 and the classifier fc2 in `fc`, after a hidden layer with `--mlp`."""
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


class SupCon(Importer):
    """SupContrast (Khosla et al., NeurIPS 2020)."""

    prefixes = ("encoder.",)

    def heads(self, state: State) -> Heads | None:
        """Find the projector."""
        return two_layers(state, "head.")


class ASCL(Importer):
    """ASCL (Feng & Patras, ICPR 2022)."""

    prefixes = ("encoder_q.net.", "net.")

    def heads(self, state: State) -> Heads | None:
        """Find the projector; a predictor shows that the method is built on BYOL."""
        found = two_layers(state, "encoder_q.projector.")
        if found is not None and any(name.startswith("predictor.") for name in state):
            found.settings["base"] = "byol"
        return found


class MoCo(Importer):
    """MoCo (He et al., CVPR 2020)."""

    prefixes = ("encoder_q.",)

    def heads(self, state: State) -> Heads | None:
        """Find the projector of version 2."""
        return two_layers(state, "encoder_q.fc.")


class SalMask(Importer):
    """Saliency-guided masking (Chin et al., WACV 2024)."""

    prefixes = ("encoder_q.",)
    needs_filter = True

    def heads(self, state: State) -> Heads | None:
        """Find the projector; the filter shows how images were masked."""
        found = two_layers(state, "encoder_q.fc.")
        return found and replace(found, for_filter={"high-pass": {"strategy": "hp"}, "none": {"strategy": "blur"}})


class SwAV(Importer):
    """SwAV (Caron et al., NeurIPS 2020)."""


class Timm(Importer):
    """A timm model, or what `coarsecon export` wrote."""

    is_published = True


class Torchvision(Importer):
    """A torchvision ResNet."""


def _linear_names(ours: str, theirs: str, *layers: str) -> dict[str, str]:
    return {f"{ours}.{layer}.{part}": f"{theirs}{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def two_layers(state: State, prefix: str) -> Heads | None:
    """Find Linear - ReLU - Linear at `prefix`, which becomes the projector; None if anything else is there."""
    names = _linear_names("projector", prefix, "0", "2")
    if not _all_linear(state, names):
        return None
    hidden, dim = (len(state[f"{prefix}{layer}.weight"]) for layer in ("0", "2"))
    return Heads({"hidden": hidden, "dim": dim}, names)


def _all_linear(state: State, names: Mapping[str, str]) -> bool:
    wanted = {name: 2 if name.endswith("weight") else 1 for name in names.values()}
    return all(name in state and state[name].ndim == ndim for name, ndim in wanted.items())
