"""What a run's folder tells of itself."""

from coarsecon.runs import last_epoch


def test_the_last_epoch_is_the_largest_that_a_log_tells():
    assert last_epoch([{"epoch": 1}, {"epoch": 3, "loss": 1.0}, {"epoch": 2}]) == 3
    assert last_epoch([{"loss": 1.0}, {"epoch": "x"}, {"epoch": float("nan")}]) == 0
    assert last_epoch([]) == 0
