"""Learning-rate schedules: pure functions of the step."""

import math
from collections.abc import Sequence

from coarsecon.config import ScheduleSettings


def cosine(progress: float, high: float, low: float = 0.0) -> float:
    """Half a cosine from `high` at progress 0 to `low` at progress 1."""
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_cosine(step: int, *, steps: int, warmup: int, base: float, start: float = 0.0, low: float = 0.0) -> float:
    """Linear from `start` to `base` over `warmup` steps, then one cosine per step down to `low` (MaskCon, ASCL)."""
    if step < warmup:
        return start + (base - start) * step / warmup
    return cosine((step - warmup) / (steps - warmup), base, low)


def epoch_cosine(
    step: int,
    *,
    epochs: int,
    warmup_epochs: float,
    steps_per_epoch: int,
    base: float,
    start: float = 0.0,
    low: float = 0.0,
) -> float:
    """One cosine over all epochs, stepped per epoch; the warm-up rises per step to meet it (SupCon).

    Epoch e of E, counted from 1, has the cosine's value at e / E.
    """
    warmup = round(warmup_epochs * steps_per_epoch)
    if step < warmup:
        return start + (cosine(warmup_epochs / epochs, base, low) - start) * step / warmup
    return cosine((step // steps_per_epoch + 1) / epochs, base, low)


def cyclic_cosine(step: int, *, epochs: int, cycles: int, steps_per_epoch: int, base: float) -> float:
    """Fall to 0 along `cycles` cosines in turn, stepped per epoch (ANCOR)."""
    return cosine(step // steps_per_epoch * cycles % epochs / epochs, base)


def epochs_of(schedule: ScheduleSettings) -> int:
    """Return the number of epochs of resolved settings."""
    assert schedule.epochs is not None, "build_run_spec chooses it"
    return schedule.epochs


def warmup_of(schedule: ScheduleSettings) -> float:
    """Return the epochs of warm-up; by default 5, as the papers have it, or a tenth of a shorter run."""
    return min(5.0, epochs_of(schedule) / 10) if schedule.warmup_epochs is None else schedule.warmup_epochs


def cycles_of(schedule: ScheduleSettings) -> int:
    """Return the number of cycles; by default one every 20 epochs (ANCOR's paper), at most 10 (its code)."""
    return min(10, max(1, round(epochs_of(schedule) / 20))) if schedule.cycles is None else schedule.cycles


def learning_rate(step: int, *, base: float, schedule: ScheduleSettings, steps_per_epoch: int) -> float:
    """Return the learning rate of training step `step`, counted from 0, under the run's settings."""
    epochs, low, start = epochs_of(schedule), schedule.floor * base, schedule.warmup_from
    warmup_epochs = min(warmup_of(schedule), epochs)
    if schedule.name == "cyclic":
        return cyclic_cosine(
            step, epochs=epochs, cycles=cycles_of(schedule), steps_per_epoch=steps_per_epoch, base=base
        )
    if schedule.name == "epoch-cosine":
        return epoch_cosine(
            step, epochs=epochs, warmup_epochs=warmup_epochs, steps_per_epoch=steps_per_epoch,
            base=base, start=start, low=low,
        )  # fmt: skip
    steps, warmup = epochs * steps_per_epoch, round(warmup_epochs * steps_per_epoch)
    return warmup_cosine(step, steps=steps, warmup=warmup, base=base, start=start, low=low)


def warmup_drops(step: int, *, steps: int, warmup: int, base: float, start: float, drops: Sequence[float]) -> float:
    """Compute the learning rate: linear warmup from `start` to `base`; divided by 10 at each of `drops`."""
    rate = start + (base - start) * step / warmup if step < warmup else base
    return rate * 0.1 ** sum(step >= round(drop * steps) for drop in drops)
