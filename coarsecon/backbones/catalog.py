"""Backbones that are compared by default: good published weights of small and medium size."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_OUT = Path("runs") / "backbones"
"""Folder of the run folders of a comparison."""


@dataclass(frozen=True)
class Published:
    """Published weights: the name in timm, the license of the weights, and their size.

    `parameters` are in millions, without a classifier; `size` is the image size in pixels that they were trained for.
    """

    name: str
    license: str
    parameters: float
    size: int
    about: str


CATALOG = (
    Published("vit_small_patch14_reg4_dinov2.lvd142m", "Apache-2.0", 22.1, 518, "DINOv2 ViT-S with registers"),
    Published("vit_small_patch16_dinov3.lvd1689m", "DINOv3 license", 21.6, 256, "DINOv3 ViT-S"),
    Published("convnext_tiny.dinov3_lvd1689m", "DINOv3 license", 27.8, 224, "DINOv3 distilled to ConvNeXt-T"),
    Published("vit_base_patch16_siglip_224.v2_webli", "Apache-2.0", 92.9, 224, "SigLIP 2 ViT-B, trained on captions"),
    Published("vit_base_patch32_clip_224.laion2b", "Apache-2.0", 87.5, 224, "OpenCLIP ViT-B/32, trained on captions"),
    Published("convnext_tiny.in12k_ft_in1k", "Apache-2.0", 27.8, 224, "ConvNeXt-T, ImageNet-12k classes"),
    Published("tf_efficientnetv2_s.in21k_ft_in1k", "Apache-2.0", 20.2, 300, "EfficientNetV2-S, ImageNet-21k classes"),
    Published("resnet50.a1_in1k", "Apache-2.0", 23.5, 224, "ResNet-50, ImageNet classes"),
    Published("tf_efficientnet_lite0.in1k", "Apache-2.0", 3.4, 224, "EfficientNet-Lite0, ImageNet classes, fast"),
)
"""The default list. Licenses are those that timm records; read them before you use weights in a product."""


OPEN_CLIP = {
    "ViT-B-32/openai": "vit_base_patch32_clip_quickgelu_224.openai",
    "ViT-B-32/laion2b_s34b_b79k": "vit_base_patch32_clip_224.laion2b",
    "ViT-B-32/datacomp_xl_s13b_b90k": "vit_base_patch32_clip_224.datacompxl",
    "ViT-B-16/openai": "vit_base_patch16_clip_quickgelu_224.openai",
    "ViT-B-16/laion2b_s34b_b88k": "vit_base_patch16_clip_224.laion2b",
    "ViT-B-16/datacomp_xl_s13b_b90k": "vit_base_patch16_clip_224.datacompxl",
    "ViT-B-16-SigLIP/webli": "vit_base_patch16_siglip_224.webli",
    "ViT-B-16-SigLIP2/webli": "vit_base_patch16_siglip_224.v2_webli",
    "ViT-L-14/openai": "vit_large_patch14_clip_quickgelu_224.openai",
    "ViT-L-14/laion2b_s32b_b82k": "vit_large_patch14_clip_224.laion2b",
    "ViT-L-14/datacomp_xl_s13b_b90k": "vit_large_patch14_clip_224.datacompxl",
    "ViT-H-14/laion2b_s32b_b79k": "vit_huge_patch14_clip_224.laion2b",
    "EVA02-B-16/merged2b_s8b_b131k": "eva02_base_patch16_clip_224.merged2b",
    "RN50/openai": "resnet50_clip.openai",
}
"""timm's names of vision towers by open_clip's: model, slash, and weights."""


def find_published(name: str) -> Published | None:
    """Return the entry of the default list with that name."""
    return next((entry for entry in CATALOG if entry.name == name), None)
