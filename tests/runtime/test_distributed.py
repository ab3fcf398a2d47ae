"""Several ranks are one: what two processes compute on half a batch each is what one computes on the whole."""

from pathlib import Path

import pytest
import timm
import torch
from forms import FORMS
from launch import HERE, free_port, on_two_ranks
from safetensors.torch import save_file
from tiny import TINY_BACKBONE, write_tiny_dataset
from two_ranks import FINETUNED, IN_PARTS, accumulated, results

from coarsecon.errors import CoarseconError
from coarsecon.runtime.distributed import Distributed, connected


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("ranks")
    write_tiny_dataset(folder / "data")
    torch.manual_seed(0)
    weights = timm.create_model(TINY_BACKBONE["name"], num_classes=0, **TINY_BACKBONE["args"]).state_dict()
    save_file(weights, folder / "weights.safetensors")
    for rank in on_two_ranks(HERE / "two_ranks.py", folder):
        assert rank.code == 0, rank.err
    return folder, [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("form", [*FORMS, *FINETUNED])
def test_two_ranks_of_sixteen_images_learn_as_one_of_thirty_two(two_ranks, form):
    folder, ranks = two_ranks
    assert_equal([rank[form] for rank in ranks], results(folder / "data", form, Distributed()))


@pytest.mark.parametrize("name", IN_PARTS)
def test_two_ranks_with_parts_of_a_batch_learn_as_one_with_the_complete_batch(two_ranks, name):
    folder, ranks = two_ranks
    assert_equal([rank[f"{name} in parts"] for rank in ranks], accumulated(folder / "data", name, Distributed(), 1))


def test_finetuned_forms_have_what_they_are_named_after(two_ranks):
    for rank in two_ranks[1]:
        assert rank["supce distilled"]["companions"].keys() == {"initial"}
        assert rank["maskcon distilled and averaged"]["companions"].keys() == {"initial", "ema"}
        averaged = rank["supce averaged"]
        assert averaged["companions"].keys() == {"ema"}
        name = "layer4.0.conv1.weight"
        assert not torch.equal(averaged["companions"]["ema"][f"encoder.{name}"], averaged["state"][f"encoder.{name}"])
        assert "encoder.layer1.0.conv1.weight" not in rank["supce with the last blocks"]["gradients"]


def assert_equal(ranks: list[dict], alone: dict) -> None:
    """Check that every rank has the results of one process."""
    for ours in ranks:
        for what in ("losses", "gradients", "state", "companions"):
            torch.testing.assert_close(ours[what], alone[what], rtol=1e-5, atol=1e-7)
        memory = [name for name in alone["state"] if name.split(".")[0] in ("queue", "banks")]
        for name in memory:
            torch.testing.assert_close(ours["state"][name], alone["state"][name], rtol=0, atol=1e-5)


def test_keys_shuffled_across_the_ranks_come_back_in_their_places(two_ranks):
    _, ranks = two_ranks
    first, second = (rank["shuffled"] for rank in ranks)
    assert torch.equal(first["queue"], second["queue"])
    torch.testing.assert_close(first["queue"][:16], torch.nn.functional.normalize(first["keys"], dim=1))
    torch.testing.assert_close(first["queue"][16:32], torch.nn.functional.normalize(second["keys"], dim=1))
    for rank in (first, second):
        torch.testing.assert_close(rank["restored"], rank["expected"])
        assert not torch.allclose(rank["keys"], rank["expected"])  # in training, the company matters


def test_uneven_parts_are_gathered_in_order_and_flags_and_values_are_shared(two_ranks):
    for rank in two_ranks[1]:
        assert rank["parts"].tolist() == list(range(7))
        assert rank["any"] == (True, False)
        assert rank["first"] == 0


def test_every_rank_has_a_part_and_all_of_them_are_everything():
    for count in (1, 2, 7, 8, 9):
        for size in (1, 2, 3, 4):
            comm = Distributed()
            comm.world_size = size
            parts = []
            for comm.rank in range(size):
                parts.append(list(range(count))[comm.shard(count)])
            assert all(parts)
            assert sorted({row for part in parts for row in part}) == list(range(count))


def test_what_is_made_in_turns_comes_in_order():
    comm = Distributed()
    assert list(comm.round_robin(lambda items: iter([i * i for i in items]), range(2, 9, 3))) == [4, 25, 64]
    comm.rank, comm.world_size = 1, 3
    comm.all_gather_object = lambda make: ["a", make(), None]
    assert list(comm.round_robin(lambda items: iter(items), range(5))) == ["a", 1, "a", 4]


def test_a_process_alone_needs_no_others(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with connected() as comm:
        assert (comm.rank, comm.world_size) == (0, 1)
        rows = torch.randn(3, 2, requires_grad=True)
        assert comm.gather_with_gradient(rows) is rows
        assert not comm.gather(rows).requires_grad


def test_a_rank_that_finds_no_other_says_so(monkeypatch):
    names = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    for name, value in {**names, "COARSECON_TIMEOUT": "1"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(
            CoarseconError, match=r"rank 1: lost the connection to another rank .*run the same command again"
        ),
        connected(),
    ):
        pass
