"""Settings of an audit."""

from pydantic import Field

from coarsecon.runtime.settings import Settings


class AuditConfig(Settings):
    """Settings of an audit; each field is an option of `coarsecon data audit`."""

    near: float | None = Field(
        None,
        ge=0,
        le=64,
        description="Largest distance of near-duplicates: different bits of their perceptual hashes (0 to 64), with a "
        "run plus 64 times 1 minus the cosine of their features. Default: 10; with a run, a distance within which 95% "
        "of altered copies are, at most 24.",
    )
    level: str | None = Field(None, description="Label level to check. Default: coarse, or else the first one.")
    k: int = Field(20, ge=1, le=500, description="Number of nearest neighbors that vote on the label of an image.")
    noise: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Assumed fraction of wrong labels, which tests make wrong to estimate recall and precision.",
    )
    outlier: float = Field(
        2.0,
        gt=0,
        description="Outliers are farther from their neighbors than the upper quartile by more than this many "
        "interquartile ranges.",
    )
    blur: float = Field(
        3.0,
        gt=0,
        description="Blurred images are less sharp than the median by more than this many robust standard deviations.",
    )
    blank: float = Field(
        4.0, ge=0, le=128, description="Standard deviation of gray levels (0 to 255) below which an image is blank."
    )
    tiny: int | None = Field(
        None, ge=1, description="Shorter side in pixels below which an image is tiny. Default: half the image size."
    )
    seed: int = Field(0, ge=0, description="Random seed of the tests.")
