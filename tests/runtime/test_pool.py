"""Work runs ahead, but only so far, and its results keep their order."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from coarsecon.runtime.pool import map_ahead


def test_results_keep_the_order_of_the_items() -> None:
    def slow_when_even(item: int) -> int:
        time.sleep(0.002 * (item % 2 == 0))
        return item * item

    assert list(map_ahead(slow_when_even, range(20), pool=ThreadPoolExecutor(4), ahead=6)) == [i * i for i in range(20)]


def test_no_more_is_begun_than_asked_for() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for item in itertools.count():
            begun.append(item)
            yield item

    results = map_ahead(lambda item: item, items(), pool=ThreadPoolExecutor(2), ahead=3)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(begun) == 5 + 3
    results.close()


def test_an_error_comes_in_its_turn_and_ends_the_threads() -> None:
    def fail_at_three(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    before = threading.active_count()
    results = map_ahead(fail_at_three, range(100), pool=ThreadPoolExecutor(2), ahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert threading.active_count() == before
