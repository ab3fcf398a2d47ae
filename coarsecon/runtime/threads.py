"""Number of threads of torch and scikit-learn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_threaded() -> Iterator[None]:
    """Use one thread in the `with` block.

    On a few rows more threads only wait for each other, and they add numbers in any order.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _scikit_learn_limit():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _scikit_learn_limit() -> Iterator[None]:
    try:
        import sklearn.linear_model  # noqa: F401  only libraries already loaded are limited
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1):
        yield
