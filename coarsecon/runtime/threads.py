"""How many threads the mathematics of torch and scikit-learn takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread in the `with` block: on a few rows more only wait for one another, and they add in any order.

    scikit-learn's limit is its own `threadpoolctl`; without scikit-learn there is nothing more to limit.
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
