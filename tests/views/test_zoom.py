"""Center crops of images of different sizes in a padded batch."""

import numpy as np
import pytest
import torch

from coarsecon.data.prepared.loader import padded
from coarsecon.views.zoom import center_crops


@pytest.mark.parametrize("fraction", [0.5, 0.7, 0.99, 1.0, 0.01])
def test_crops_are_the_slices_of_each_image(fraction):
    rng = np.random.default_rng(0)
    images = [rng.integers(1, 256, (*size, 3), dtype=np.uint8) for size in ((10, 7), (4, 9), (1, 1), (10, 9))]
    found = center_crops(padded(images), fraction)
    for place, image in enumerate(images):
        height, width = (max(1, round(float(torch.tensor(length) * fraction))) for length in image.shape[:2])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        assert found.sizes[place].tolist() == [height, width]
        crop = image[top : top + height, left : left + width].transpose(2, 0, 1)
        assert np.array_equal(found.pixels[place, :, :height, :width], crop)
        assert not found.pixels[place, :, height:].any()
        assert not found.pixels[place, :, :, width:].any()
