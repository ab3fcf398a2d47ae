"""Two ranks extract and measure the same as one process."""

import os
import shutil
from typing import Any

import pytest
import torch
from launch import HERE, on_two_ranks
from sharing_ranks import found

from coarsecon.evaluation.pairing import WITHIN_ALL
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.distributed import Distributed

HEADER = 128
"""Bytes before the rows of an .npy file."""


@pytest.fixture(scope="module")
def results(tiny_run, tiny_data, tmp_path_factory) -> dict[str, Any]:
    """Results of one process ("alone"), of each of two ranks ("ranks"), and of these a second time ("again").

    The two ranks resume features of the test images that a killed command left half-written.
    """
    folder = tmp_path_factory.mktemp("sharing")
    one, two = (RunFolder(folder / name) for name in ("one", "two"))
    for run in (one, two):
        shutil.copytree(tiny_run, run.root, ignore=shutil.ignore_patterns("features"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = found(one, tiny_data, Distributed())
    torch.set_num_threads(threads)

    whole = min(one.features.glob("test-*"), key=lambda file: len(file.name))
    two.features.mkdir()
    partial = two.features / f".{whole.name}.partial"
    shutil.copy(whole, partial)
    os.truncate(partial, HEADER + (whole.stat().st_size - HEADER) * 25 // 48)
    for rank in on_two_ranks(HERE / "sharing_ranks.py", two.root, tiny_data, folder):
        assert rank.code == 0, rank.err
    ranks, again = zip(*(torch.load(folder / f"rank{i}.pt", weights_only=True) for i in range(2)), strict=True)
    return {"alone": alone, "ranks": ranks, "again": again, "folders": (one.features, two.features)}


def test_features_are_those_of_one_process_bit_for_bit(results):
    for rank in results["ranks"]:
        for name in ("test", "flipped", "copies"):
            assert torch.equal(rank[name], results["alone"][name]), name
    one, two = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in results["folders"])
    assert one == two


def test_each_rank_embeds_a_part_of_the_missing_features(results):
    first, second = (rank["counts"] for rank in results["ranks"])
    assert results["alone"]["counts"] == [48, 48, 2 * 48, 96]
    assert first == [10 + 8, 10 + 10 + 8, 2 * 28, 50]  # twenty of the test images were there, of the others none
    assert second == [10, 20, 2 * 20, 46]
    assert [rank["counts"] for rank in results["again"]] == [[0, 0, 0, 0]] * 2


def test_every_rank_has_the_metrics_of_one_process(results):
    for rank in (*results["ranks"], *results["again"]):
        for name in ("within", "among"):
            assert rank[name] == results["alone"][name]
            assert list(rank[name]) == list(results["alone"][name])
    assert "fine_within_coarse" in results["alone"]["within"]


def test_every_query_has_the_metrics_of_one_process(results):
    for rank in results["ranks"]:
        for ours, alone in zip(rank["searches"], results["alone"]["searches"], strict=True):
            assert list(ours) == list(alone) == ["fine", "coarse", "fine_within_coarse", WITHIN_ALL]
            for level, values in alone.items():
                assert list(ours[level]) == list(values)
                for name, value in values.items():
                    assert torch.equal(ours[level][name].nan_to_num(-1), value.nan_to_num(-1)), (level, name)
