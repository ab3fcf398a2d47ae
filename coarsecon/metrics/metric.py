"""A number that an evaluation reports, with what is known of its uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["share", "score", "chance", "value"]
"""A fraction of independent queries, another score of at most 1, what chance gives, or a number of any size."""


def percent(value: float) -> str:
    """Return a fraction in percent, with two decimals."""
    return f"{100 * value:.2f}"


@dataclass(frozen=True)
class Metric:
    """One number.

    Args:
        name: For example `recall@1`.
        value: The number; shares, scores and chance are fractions, shown in percent.
        group: The part of the result that it belongs to, for example a label level.
        kind: Kind of number. The fraction of `count` queries (`share`) has a binomial interval.
        interval: Half the width of the 95% interval of a mean over `count` draws; None where it is not known.
        count: Number of queries of a fraction, or of draws (episodes, repeats) of a mean.
        lower_is_better: True for errors and distances; reports mark a decrease as an improvement.
    """

    name: str
    value: float
    group: str = ""
    kind: Kind = "score"
    interval: float | None = None
    count: int | None = None
    lower_is_better: bool = False

    @property
    def is_fraction(self) -> bool:
        """True if the value is shown in percent."""
        return self.kind != "value"

    def to_json(self) -> dict[str, Any]:
        """Return the fields that say something, for JSON."""
        fields = {"name": self.name, "value": self.value, "group": self.group, "kind": self.kind}
        optional = {"interval": self.interval, "count": self.count, "lower_is_better": self.lower_is_better or None}
        return fields | {name: value for name, value in optional.items() if value is not None}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Metric":
        """Return the metric that `to_json` wrote.

        Raises:
            TypeError: There is a field too many, or one is missing.
            ValueError: A field has another type.
        """
        metric = cls(**fields)
        is_text = isinstance(metric.name, str) and isinstance(metric.group, str)
        numbers = (metric.value, metric.interval or 0.0, metric.count or 0)
        if not is_text or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"{fields} is no metric")
        return metric
