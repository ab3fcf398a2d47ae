"""ResNet-12, the backbone of few-shot learning, registered with timm as `resnet12`.

Four stages of one residual block each, which halve the image size; 64-160-320-640 channels, 12.4 million weights, as in
MetaOptNet (Lee et al., CVPR 2019) that ANCOR (Bukchin et al., CVPR 2021) trains on 32 and 84 px.
"""

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import SelectAdaptivePool2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

__all__ = ["ResNet12"]

WIDTHS = (64, 160, 320, 640)


class DropBlock(nn.Module):
    """Zero square blocks of a feature map, with a separate mask for each channel (Ghiasi et al., NeurIPS 2018).

    Args:
        rate: Fraction of the map to drop after the warmup; overlapping blocks drop slightly less.
        size: Size of a block in cells, clipped to the size of the map.
        warmup_steps: Training steps over which the rate grows linearly from 0.
    """

    def __init__(self, rate: float, size: int, warmup_steps: int) -> None:
        super().__init__()
        self.rate = rate
        self.size = size
        self.warmup_steps = warmup_steps

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """Drop blocks of x [N, C, H, W] in training step number `step` (a scalar tensor, starting at 1).

        The rest is scaled up by one factor, so that the batch keeps its mean.
        """
        if not self.training or self.rate == 0:
            return x
        height, width = x.shape[2:]
        size = min(self.size, height, width)
        rows, columns = height - size + 1, width - size + 1
        rate = self.rate * (step / self.warmup_steps).clamp(max=1)
        corner_probability = rate / size**2 * (height * width) / (rows * columns)
        corners = torch.rand(*x.shape[:2], rows, columns, device=x.device) < corner_probability
        kept = 1 - F.max_pool2d(F.pad(corners.float(), [size - 1] * 4), size, stride=1)
        return x * (kept * (kept.numel() / kept.sum().clamp(min=1))).to(x.dtype)


class Block(nn.Module):
    """Three 3x3 convolutions with a 1x1 shortcut, then max-pool by 2 and the stage's dropout."""

    def __init__(self, inputs: int, outputs: int, drop: nn.Dropout | DropBlock) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv3 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.act = nn.LeakyReLU(0.1)
        self.pool = nn.MaxPool2d(2)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H // 2, W // 2]."""
        inner = self.act(self.bn1(self.conv1(x)))
        inner = self.act(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        outputs: Tensor = self.pool(self.act(inner + self.shortcut(x)))
        # Batch norm counts the training steps, and its count is part of every checkpoint.
        step = self.bn3.num_batches_tracked
        assert step is not None
        dropped: Tensor = self.drop(outputs, step) if isinstance(self.drop, DropBlock) else self.drop(outputs)
        return dropped


class ResNet12(nn.Module):
    """ResNet-12 with the interface of a timm model.

    Args:
        num_classes: Width of the classifier; 0 for none.
        in_chans: Channels of the images.
        global_pool: Pooling of the last map, by timm's name.
        widths: Channels of the four stages.
        drop_rate: Fraction to drop: elementwise after the first two stages, from the first step on; in blocks after
            the last two, after the warmup.
        dropblock_size: Size of a dropped block, in cells of the map; 5 at 84 px, 2 at 32 px.
        dropblock_warmup_steps: Training steps over which the rate of the blocks grows linearly to `drop_rate`.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        widths: tuple[int, ...] = WIDTHS,
        drop_rate: float = 0.0,
        dropblock_size: int = 5,
        dropblock_warmup_steps: int = 40_000,
    ) -> None:
        super().__init__()
        drops: list[nn.Dropout | DropBlock] = [nn.Dropout(drop_rate), nn.Dropout(drop_rate)]
        drops += [DropBlock(drop_rate, dropblock_size, dropblock_warmup_steps) for _ in range(2)]
        inputs = (in_chans, *widths[:-1])
        self.stages = nn.Sequential(*map(Block, inputs, widths, drops))
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = widths[-1]
        self.feature_info = [
            {"num_chs": width, "reduction": 2 ** (i + 1), "module": f"stages.{i}"} for i, width in enumerate(widths)
        ]
        self.reset_classifier(num_classes, global_pool)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return the pattern of the blocks, for timm's layer-wise learning-rate decay."""
        return {"blocks": r"^stages\.(\d+)"}

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """Replace the classifier by a new one of another width, or none."""
        self.num_classes = num_classes
        self.global_pool = SelectAdaptivePool2d(pool_type=global_pool, flatten=True)
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute the last map [N, 640, S // 16, S // 16] of images [N, 3, S, S]."""
        features: Tensor = self.stages(x)
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute pooled features [N, 640], or logits from them."""
        features = self.global_pool(x)
        logits: Tensor = features if pre_logits else self.fc(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits [N, num_classes], or features [N, 640] without a classifier."""
        return self.forward_head(self.forward_features(x))


default_cfgs = generate_default_cfgs(
    {"resnet12": {"input_size": (3, 84, 84), "pool_size": (5, 5), "first_conv": "stages.0.conv1", "classifier": "fc"}}
)


@register_model
def resnet12(pretrained: bool = False, **kwargs: Any) -> ResNet12:
    """Build ResNet-12; no weights are published in timm's format."""
    model: ResNet12 = build_model_with_cfg(ResNet12, "resnet12", pretrained, **kwargs)
    return model
