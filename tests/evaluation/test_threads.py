"""One thread inside the block, as many as before after it, also when it fails."""

import pytest
import torch

from coarsecon.evaluation.threads import single_threaded


def test_threads_are_limited_inside_the_block_alone() -> None:
    pytest.importorskip("sklearn")
    from threadpoolctl import threadpool_info

    torch.set_num_threads(3)
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    try:
        with pytest.raises(KeyError), single_threaded():
            assert torch.get_num_threads() == 1
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
            raise KeyError
        assert torch.get_num_threads() == 3
        after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
        assert {file: after[file] for file in before} == before
    finally:
        torch.set_num_threads(1)
