"""Report the number of images without a label of a level, wherever such images are left out."""

from collections.abc import Mapping

from torch import Tensor

LEFT_OUT = "and are left out"


def unlabeled_note(level: str, columns: Mapping[str, Tensor], consequence: str = LEFT_OUT) -> str:
    """Return a sentence on the images without a `level` label; "" where all have one.

    Args:
        level: Name of the label level.
        columns: Labels int64 [N] of that level by split; -1 is unknown.
        consequence: What happens to those images.
    """
    counts = {split: int((labels < 0).sum()) for split, labels in columns.items()}
    parts = [f"{count:,} of {len(columns[split]):,} images of {split}" for split, count in counts.items() if count]
    return f"{' and '.join(parts)} have no {level} label {consequence}" if parts else ""
