"""Handwritten digits of scikit-learn (Optical Recognition of Handwritten Digits, UCI), 8 x 8 pixels."""

import numpy as np
from pydantic import Field

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData


class Digits(Source):
    """Read scikit-learn's handwritten digits: even or odd, and the digit."""

    class Config(SourceConfig):
        """Options of `coarsecon prepare digits`."""

        test_fraction: float = Field(0.2, gt=0, lt=1, description="Fraction of the images that are held out as test.")

    name = "digits"
    about = __doc__
    terms = "CC BY 4.0; E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998."
    counts = {"train": 1437, "test": 360}
    levels = {"coarse": 2, "fine": 10}
    default_size = 8

    def read(self, request: SourceRequest, config: Config) -> SourceData:
        """Return the images as RGB; every fifth image or so is held out."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        gray = (digits.images * 255 / 16).round().astype(np.uint8)
        images = np.repeat(gray[:, None], 3, axis=1)
        count = round(len(images) * config.test_fraction)
        order = np.random.default_rng(0).permutation(len(images))
        splits = {
            name: SplitData(
                labels={"coarse": digits.target[chosen] % 2, "fine": digits.target[chosen]}, images=images[chosen]
            )
            for name, chosen in (("train", order[count:]), ("test", order[:count]))
        }
        names = {"coarse": ["even", "odd"], "fine": [str(digit) for digit in range(10)]}
        return SourceData(self.name, self.default_size, names, splits)
