"""A state dict with torchvision's names, for its ResNets; loaded into one and compared before it is kept."""

from pathlib import Path
from typing import TYPE_CHECKING

import torchvision
from safetensors.torch import save_file
from timm.models import split_model_name_tag
from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.exporters.base import Exporter, ExporterConfig
from coarsecon.exporters.comparison import compare, encoder_of, inputs_of, weights_of, write_card
from coarsecon.nn.encoder import EncoderCard

if TYPE_CHECKING:
    from coarsecon.run.facade import Run

TOLERANCE = 1e-6
DEPTHS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}
SMALL_STEM = "model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)"


class Torchvision(Exporter):
    """Weights for the ResNets of torchvision, and the lines that load them."""

    def export(self, run: "Run", folder: Path, config: ExporterConfig) -> list[str]:
        """Write `resnet.safetensors` without classifier; the notes are the lines that load it."""
        encoder = encoder_of(run)
        depth, stem = resnet_depth(encoder.card, "torchvision"), encoder.card.backbone.stem
        save_file(weights_of(encoder), folder / "resnet.safetensors")
        write_card(encoder, folder)
        model = getattr(torchvision.models, f"resnet{depth}")()
        lines = [f"model = torchvision.models.resnet{depth}(); model.fc = torch.nn.Identity()"]
        model.fc = nn.Identity()
        if stem != "standard":
            model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            lines.append(SMALL_STEM)
        if stem == "small":
            model.maxpool = nn.Identity()
            lines.append("model.maxpool = torch.nn.Identity()")
        model.load_state_dict(weights_of(encoder))
        model.eval()

        def features(images: Tensor) -> Tensor:
            found: Tensor = model(inputs_of(encoder, images))
            return found

        equal = compare(encoder, "torchvision's ResNet", features, TOLERANCE)
        lines.append("model.load_state_dict(safetensors.torch.load_file('resnet.safetensors'))")
        return [*lines, f"returns {equal}, for images that are prepared as in encoder.json"]


def resnet_depth(card: EncoderCard, format_name: str) -> int:
    """Return the depth of a ResNet: 18, 34, 50, 101 or 152.

    Raises:
        InputError: The backbone is another network, or one with arguments that change it.
    """
    name, args = split_model_name_tag(card.backbone.name)[0], card.backbone.args
    if name not in DEPTHS or args:
        found = f"{name} with {', '.join(args)}" if args else name
        problem = f"the format {format_name} supports {', '.join(DEPTHS)}, not {found}"
        raise InputError("the backbone of this run", problem, "use timm or onnx")
    return DEPTHS[name]
