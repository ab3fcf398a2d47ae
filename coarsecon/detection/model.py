"""Faster R-CNN and Mask R-CNN (Ren et al., NeurIPS 2015; He et al., ICCV 2017), built from torchvision."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_inference, maskrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign, roi_align

from coarsecon.detection.backbone import PYRAMID, channels, pyramid, resnet_of, stride_of, up_to_layer3
from coarsecon.detection.settings import ModelSettings, SizeSettings
from coarsecon.errors import InputError
from coarsecon.nn.encoder import Encoder
from coarsecon.views.filters import InputFilter, apply_filter

RATIOS = (0.5, 1.0, 2.0)
MASK_CHANNELS = 256

SELECTION: dict[str, Any] = {
    "fg_iou_thresh": 0.5, "bg_iou_thresh": 0.5, "positive_fraction": 0.25,
    "bbox_reg_weights": None, "score_thresh": 0.05, "nms_thresh": 0.5, "detections_per_img": 100,
}  # fmt: skip
"""Settings of regions that detectron2 and torchvision have in common."""

Targets = list[dict[str, Tensor]]


def build_detector(encoder: Encoder, settings: ModelSettings, sizes: SizeSettings, classes: int) -> GeneralizedRCNN:
    """Build a detector of `classes` classes around the encoder's backbone (not a copy); other layers start at random.

    It takes lists of images [3, H, W] from 0 to 1 in any size, as torchvision's detectors do, and applies the encoder's
    normalization and filter.

    Raises:
        InputError: The backbone is no ResNet, or the anchors do not fit the head.
    """
    backbone = resnet_of(encoder, frozen=settings.batch_norm == "frozen")
    recipe = encoder.card.input
    transform = DetectorInput(
        sizes.train, sizes.test, sizes.longest, mean=recipe.mean, std=recipe.std, filter=recipe.filter
    )
    is_c4, tuned = settings.head == "c4", settings.batch_norm == "tuned"
    trunk: Any = up_to_layer3(backbone) if is_c4 else pyramid(backbone, batch_norm=tuned)
    rpn = _proposals(trunk.out_channels, settings)
    heads = _c4_heads(backbone, trunk, settings, classes) if is_c4 else _pyramid_heads(settings, classes)
    detector = GeneralizedRCNN(trunk, rpn, heads, transform)
    for module in (trunk, rpn.head, heads.box_predictor, heads.mask_predictor):
        if module is not None:
            module.register_forward_hook(_in_float32)
    return detector


def _proposals(width: int, settings: ModelSettings) -> RegionProposalNetwork:
    sizes, is_c4 = tuple(settings.anchors), settings.head == "c4"
    if not is_c4 and len(sizes) != 5:
        raise InputError("model.anchors", f"a feature pyramid has 5 levels with one size each, not {len(sizes)}")
    groups = (sizes,) if is_c4 else tuple((size,) for size in sizes)
    anchors = AnchorGenerator(groups, (RATIOS,) * len(groups))
    # Defaults of detectron2; in a pyramid, the numbers before suppression are per level.
    before = {"training": 12000, "testing": 6000} if is_c4 else {"training": 2000, "testing": 1000}
    after = {"training": 2000 if is_c4 else 1000, "testing": settings.proposals}
    head = RPNHead(width, anchors.num_anchors_per_location()[0])
    return RegionProposalNetwork(anchors, head, 0.7, 0.3, 256, 0.5, before, after, 0.7)


def _pyramid_heads(settings: ModelSettings, classes: int) -> RoIHeads:
    levels = ["0", "1", "2", "3"]
    masks: dict[str, Any] = {
        "mask_roi_pool": MultiScaleRoIAlign(levels, 14, 2),
        "mask_head": MaskRCNNHeads(PYRAMID, (MASK_CHANNELS,) * 4, 1),
        "mask_predictor": MaskRCNNPredictor(MASK_CHANNELS, MASK_CHANNELS, classes + 1),
    }
    return RoIHeads(
        MultiScaleRoIAlign(levels, 7, 2), TwoMLPHead(PYRAMID * 7 * 7, 1024), _box_predictor(1024, classes),
        **SELECTION, batch_size_per_image=settings.regions, **(masks if settings.masks else {}),
    )  # fmt: skip


def _c4_heads(backbone: Any, trunk: nn.Module, settings: ModelSettings, classes: int) -> "C4Heads":
    width = channels(backbone)[3]
    # MoCo's protocol: batch norm after layer4 too, because a pre-trained network's output can have any scale.
    norm = [nn.BatchNorm2d(width)] * (settings.batch_norm == "tuned")
    mask_predictor = MaskRCNNPredictor(width, MASK_CHANNELS, classes + 1) if settings.masks else None
    layer4 = nn.Sequential(backbone.layer4, *norm)
    return C4Heads(layer4, stride_of(trunk), _box_predictor(width, classes), mask_predictor, settings.regions)


def _box_predictor(width: int, classes: int) -> FastRCNNPredictor:
    predictor = FastRCNNPredictor(width, classes + 1)
    for layer, std in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):  # Girshick, ICCV 2015
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)
    return predictor


class C4Heads(RoIHeads):  # type: ignore[misc]
    """Heads that pass 14 x 14 regions of layer3's map through layer4 and predict boxes and masks from its output."""

    def __init__(
        self, layer4: nn.Module, stride: int, box_predictor: nn.Module, mask_predictor: nn.Module | None, regions: int
    ) -> None:
        super().__init__(
            None, layer4, box_predictor, **SELECTION, batch_size_per_image=regions, mask_predictor=mask_predictor
        )
        self.stride = stride

    def has_mask(self) -> bool:
        """Return True if masks are predicted too."""
        return self.mask_predictor is not None

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Targets | None = None,
    ) -> tuple[Targets, dict[str, Tensor]]:
        """Return (detections, {}) in evaluation and ([], losses) in training, as torchvision does."""
        if not self.training:
            return self._detect(features, proposals, image_shapes), {}
        proposals, matched, labels, wanted = self.select_training_samples(proposals, targets)
        maps = self._maps(features, proposals)
        classifier, boxes = fastrcnn_loss(*self.box_predictor(maps.mean((2, 3))), labels, wanted)
        losses = {"loss_classifier": classifier, "loss_box_reg": boxes}
        if targets is not None and self.mask_predictor is not None:
            positive = [label > 0 for label in labels]
            losses["loss_mask"] = maskrcnn_loss(
                self.mask_predictor(maps[torch.cat(positive)]),
                [boxes[chosen] for boxes, chosen in zip(proposals, positive, strict=True)],
                [target["masks"] for target in targets],
                [target["labels"] for target in targets],
                [indices[chosen] for indices, chosen in zip(matched, positive, strict=True)],
            )
        return [], losses

    def _detect(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Targets:
        predicted = self.box_predictor(self._maps(features, proposals).mean((2, 3)))
        found = self.postprocess_detections(*predicted, proposals, image_shapes)
        result = [
            {"boxes": boxes, "scores": scores, "labels": labels} for boxes, scores, labels in zip(*found, strict=True)
        ]
        if self.mask_predictor is not None:
            logits = self.mask_predictor(self._maps(features, found[0]))
            for each, masks in zip(result, maskrcnn_inference(logits, found[2]), strict=True):
                each["masks"] = masks
        return result

    def _maps(self, features: dict[str, Tensor], boxes: list[Tensor]) -> Tensor:
        """Return the output of layer4 for the boxes [R, C, 7, 7], with aligned ROIAlign and adaptive sampling."""
        regions = roi_align(features["0"], boxes, 14, 1 / self.stride, sampling_ratio=0, aligned=True)
        maps: Tensor = self.box_head(regions)
        return maps


class DetectorInput(GeneralizedRCNNTransform):  # type: ignore[misc]
    """torchvision's resizing and normalization, followed by the filter that the encoder was trained with."""

    def __init__(
        self, train: list[int], test: int, longest: int, *,
        mean: tuple[float, ...], std: tuple[float, ...], filter: InputFilter,
    ) -> None:  # fmt: skip
        super().__init__((*train, test), longest, list(mean), list(std))
        self.train_sizes, self.filter = train, filter

    def torch_choice(self, k: Any) -> int:
        """Draw one of the training sizes with torch's global generator."""
        return super().torch_choice(self.train_sizes)

    def resize(self, image: Tensor, target: Any = None) -> Any:
        """Resize image [3, H, W] and target to the size of the network's input."""
        image, target = super().resize(image, target)
        return apply_filter(self.filter, image[None])[0], target


def _in_float32(module: nn.Module, given: Any, answer: Any) -> Any:
    """Convert box outputs to float32, because bfloat16 represents integers up to 256 only."""
    if isinstance(answer, Tensor):
        return answer.float()
    if isinstance(answer, dict):
        return type(answer)((name, value.float()) for name, value in answer.items())
    return (
        tuple(_in_float32(module, given, each) for each in answer)
        if isinstance(answer, tuple)
        else [each.float() for each in answer]
    )
