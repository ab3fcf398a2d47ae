"""Find out once whether the hub of published weights can be reached, instead of retrying for each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from huggingface_hub import constants, get_session

TIMEOUT_SECONDS = 5


@cache
def is_reachable() -> bool:
    """Return whether the hub answers; one that is switched off by HF_HUB_OFFLINE does not count."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT_SECONDS)
    except Exception:  # libraries of different versions raise different ones
        return False
    return True


@contextmanager
def cached_weights_only_if_unreachable() -> Iterator[None]:
    """Within the `with` block, weights come from the local cache if the hub cannot be reached, without retries."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not is_reachable()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
