"""Learning-rate schedules against the golden cases, and their ends."""

from itertools import pairwise

import pytest
from golden import golden_cases, golden_tensors

from coarsecon.config import ScheduleSettings
from coarsecon.train.schedule import cycles_of, learning_rate, warmup_drops, warmup_of


def settings_of(case: dict) -> ScheduleSettings:
    if case["kind"] == "cyclic_cosine_per_epoch":
        return ScheduleSettings(name="cyclic", epochs=case["epochs"], cycles=case["cycles"])
    if case["kind"] == "supcon_cosine_floor_warmup":
        return ScheduleSettings(
            name="epoch-cosine", epochs=case["epochs"], warmup_epochs=case["warmup_epochs"],
            warmup_from=case["warmup_from"], floor=case["floor_rate"] ** 3,
        )  # fmt: skip
    return ScheduleSettings(name="cosine", epochs=case["epochs"], warmup_epochs=case["warmup_epochs"])


@pytest.mark.parametrize("case", golden_cases("schedule"))
def test_learning_rates_match_the_golden_schedules(case):
    expected = golden_tensors(case)["lr"].tolist()
    steps_per_epoch = case.get("steps_per_epoch", 1)
    computed = [
        learning_rate(step, base=case["base_lr"], schedule=settings_of(case), steps_per_epoch=steps_per_epoch)
        for step in range(len(expected))
    ]
    assert computed == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_cosine_ends_near_its_floor_and_never_rises():
    schedule = ScheduleSettings(epochs=10, warmup_epochs=2, floor=0.01)
    rates = [learning_rate(step, base=1.0, schedule=schedule, steps_per_epoch=5) for step in range(50)]
    assert rates[0] == 0
    assert rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=0.01)


def test_the_default_warm_up_is_five_epochs_or_a_tenth_of_a_short_run():
    assert [warmup_of(ScheduleSettings(epochs=epochs)) for epochs in (200, 50, 20, 2)] == [5, 5, 2, 0.2]
    assert warmup_of(ScheduleSettings(epochs=2, warmup_epochs=0)) == 0


def test_a_run_shorter_than_its_warm_up_only_warms_up():
    schedule = ScheduleSettings(epochs=2, warmup_epochs=5)
    rates = [learning_rate(step, base=1.0, schedule=schedule, steps_per_epoch=2) for step in range(4)]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75])


def test_the_cyclic_schedule_restarts_every_20_epochs_however_long_the_run():
    assert [cycles_of(ScheduleSettings(epochs=epochs)) for epochs in (1, 20, 50, 200, 800)] == [1, 1, 2, 10, 10]
    assert cycles_of(ScheduleSettings(epochs=200, cycles=1)) == 1


@pytest.mark.parametrize(("epochs", "cycles"), [(3, None), (40, None), (200, 10), (7, 3), (4, 3), (5, 5)])
def test_every_cosine_starts_at_the_full_rate_and_no_epoch_is_without_one(epochs, cycles):
    schedule = ScheduleSettings(name="cyclic", epochs=epochs, cycles=cycles)
    rates = [learning_rate(epoch, base=1.0, schedule=schedule, steps_per_epoch=1) for epoch in range(epochs)]
    assert rates[0] == 1
    assert min(rates) > 0.004  # the last of a cosine of 20 epochs has 0.006
    rises = sum(later > earlier for earlier, later in pairwise(rates))
    assert rises == (cycles_of(schedule) - 1 if cycles != epochs else 0)


def test_a_rate_that_drops_rises_first_and_falls_at_its_shares_of_the_steps():
    options = {"steps": 24_000, "warmup": 100, "base": 0.02, "start": 2e-5, "drops": [0.75, 0.916667]}
    rates = {step: warmup_drops(step, **options) for step in (0, 50, 100, 17_999, 18_000, 21_999, 22_000, 23_999)}
    assert rates == pytest.approx(
        {0: 2e-5, 50: 0.01001, 100: 0.02, 17_999: 0.02, 18_000: 2e-3, 21_999: 2e-3, 22_000: 2e-4, 23_999: 2e-4}
    )
    assert warmup_drops(0, steps=5, warmup=0, base=1.0, start=0.1, drops=[]) == 1.0
