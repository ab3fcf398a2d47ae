"""What the tests of the views share: pictures with flat, smooth and noisy parts, and their PIL forms."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from coarsecon.views.batch import ImageBatch


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def images() -> Tensor:
    """[24, 3, 32, 32] float32, integers in 0..255: smooth, noisy, gray, flat and saturated ones."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(24, 3, 7, 7, generator=generator)
    images = F.interpolate(coarse, size=(32, 32), mode="bicubic").mul(300).sub(20).clamp(0, 255)
    images[:6] += 30 * torch.randn(6, 3, 32, 32, generator=generator)
    images[6] = images[6].mean(dim=0)
    images[7] = 77
    images[8, 0], images[8, 1:] = 255, 0
    images[9] = images[9] * 0.3 + 60
    return images.clamp(0, 255).round()


@pytest.fixture(scope="session")
def pictures(images: Tensor) -> list[Image.Image]:
    """The same images for PIL."""
    return [to_pil_image(image.byte()) for image in images]


@pytest.fixture
def padded() -> ImageBatch:
    """Eight images of several sizes, none of them square, noise all over and zeros in the padding."""
    generator = torch.Generator().manual_seed(2)
    sizes = torch.tensor([[40, 60], [60, 40], [33, 50], [60, 21], [17, 60], [50, 49], [24, 31], [60, 60]])
    pixels = torch.randint(0, 256, (8, 3, 60, 60), generator=generator, dtype=torch.uint8)
    for image, (height, width) in zip(pixels, sizes.tolist(), strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0
    return ImageBatch(pixels, sizes)
