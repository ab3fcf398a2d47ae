"""One thread inside the block, as many as before after it, also when it fails."""

import pytest
import torch

from coarsecon.runtime.threads import single_threaded


def test_threads_are_limited_inside_the_block_alone() -> None:
    pytest.importorskip("sklearn.linear_model")
    from threadpoolctl import threadpool_info

    def pools() -> dict[str, int]:
        return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

    def fail() -> None:
        with single_threaded():
            assert torch.get_num_threads() == 1
            assert set(pools().values()) == {1}
            raise KeyError

    former = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        before = pools()
        with pytest.raises(KeyError):
            fail()
        assert torch.get_num_threads() == 3
        assert pools() == before
    finally:
        torch.set_num_threads(former)
