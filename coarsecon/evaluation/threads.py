"""How many threads scikit-learn's mathematics takes."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for scikit-learn in the `with` block: on a few rows more only wait, and they add in any order.

    The limit is scikit-learn's own `threadpoolctl`; without scikit-learn there is nothing to limit.
    """
    try:
        import sklearn.linear_model  # noqa: F401  only libraries already loaded are limited
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1):
        yield
