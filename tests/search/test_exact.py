"""Exact search against sorting the whole score matrix, through FAISS and through torch."""

import pytest
import torch
from torch import Tensor

from coarsecon.errors import CoarseconError
from coarsecon.search import exact
from coarsecon.search.exact import l2_normalize, nearest, nearest_others


@pytest.fixture(params=["faiss", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs with FAISS and without it; without, in chunks of a few rows."""
    if request.param == "torch":
        monkeypatch.setattr(exact, "faiss", None)
        monkeypatch.setattr(exact, "SCORES_AT_ONCE", 1000)
    elif exact.faiss is None:
        pytest.skip("FAISS is not installed")
    return request.param


def features(count: int, seed: int = 0) -> Tensor:
    return l2_normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("k", [1, 7, 150])
def test_finds_what_sorting_all_scores_finds(backend: str, k: int) -> None:
    queries, gallery = features(40), features(300, seed=1)
    scores, indices = nearest(queries, gallery, k)
    expected = (queries @ gallery.T).sort(descending=True)
    assert indices.dtype == torch.int64
    assert torch.equal(indices, expected.indices[:, :k])
    torch.testing.assert_close(scores, expected.values[:, :k])


def test_a_depth_of_thousands_and_float64_go_through_torch() -> None:
    gallery = features(3000)
    _, deep = nearest(gallery[:5], gallery, 2500)
    assert torch.equal(deep, (gallery[:5] @ gallery.T).sort(descending=True).indices[:, :2500])
    precise, _ = nearest(gallery[:5].double(), gallery.double(), 10)
    assert precise.dtype == torch.float64


def test_half_precision_is_raised_before_the_product(backend: str) -> None:
    gallery = features(100)
    scores, indices = nearest(gallery.half(), gallery.half(), 5)
    assert scores.dtype == torch.float32
    assert torch.equal(indices, nearest(gallery.half().float(), gallery.half().float(), 5)[1])


def test_autocast_around_a_search_changes_nothing(backend: str) -> None:
    gallery = features(100)
    plain = nearest(gallery[:20], gallery, 5), nearest_others(gallery, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        surrounded = nearest(gallery[:20], gallery, 5), nearest_others(gallery, 5)
    for one, other in zip(plain, surrounded, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_the_excluded_item_never_returns_but_its_duplicate_does(backend: str) -> None:
    gallery = features(60)
    gallery[1::2] = gallery[::2]  # every image twice
    rows = torch.arange(60)
    _, indices = nearest(gallery, gallery, 10, exclude=rows)
    assert indices.shape == (60, 10)
    assert not (indices == rows[:, None]).any()
    assert torch.equal(indices[:, 0], rows ^ 1)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("k", [1, 20, 300])
def test_among_all_others_each_finds_what_it_finds_alone(
    backend: str, monkeypatch: pytest.MonkeyPatch, count: int, k: int
) -> None:
    monkeypatch.setattr(exact, "BLOCK", 32)
    gallery = features(count)
    scores, indices = nearest_others(gallery, k)
    expected = nearest(gallery, gallery, k, exclude=torch.arange(count))
    assert torch.equal(indices, expected[1])
    torch.testing.assert_close(scores, expected[0])


def test_among_all_others_a_duplicate_is_found_and_not_the_item(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "BLOCK", 7)
    gallery = features(60)
    gallery[30:] = gallery[:30]
    assert torch.equal(nearest_others(gallery, 1)[1].flatten(), (torch.arange(60) + 30) % 60)
    assert nearest_others(-gallery[:1].repeat(20, 1), 30)[1].sort(1).values.tolist() == [
        [other for other in range(20) if other != row] for row in range(20)
    ]
    assert nearest_others(gallery.double(), 3)[0].dtype == torch.float64


def test_an_excluded_item_below_the_depth_costs_no_neighbor(backend: str) -> None:
    gallery = features(60)
    far = (gallery[:1] @ gallery.T).argmin(1)
    _, indices = nearest(gallery[:1], gallery, 5, exclude=far)
    assert torch.equal(indices, nearest(gallery[:1], gallery, 5)[1])
    _, unchanged = nearest(gallery[:1], gallery, 5, exclude=torch.tensor([-1]))
    assert torch.equal(unchanged, indices)


@pytest.mark.parametrize(("k", "returned"), [(0, 0), (59, 59), (60, 59), (1000, 59)])
def test_asking_for_more_than_there_is_returns_what_there_is(backend: str, k: int, returned: int) -> None:
    gallery = features(60)
    scores, indices = nearest(gallery, gallery, k, exclude=torch.arange(60))
    assert scores.shape == indices.shape == (60, returned)
    assert nearest(gallery, gallery[:0], k)[1].shape == (60, 0)
    assert nearest(gallery[:0], gallery, 5)[1].shape == (0, 5)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_queries_that_exclude_nothing_find_the_whole_gallery(backend: str, k: int) -> None:
    queries, gallery = features(5), features(3, seed=1)
    plain = nearest(queries, gallery, k)
    for exclude in (torch.full((5,), -1), torch.tensor([-1, 2, -1, 0, -1])):
        scores, indices = nearest(queries, gallery, k, exclude=exclude)
        assert scores.shape == indices.shape == (5, min(k, 3))
        for row, own in enumerate(exclude.tolist()):
            kept = plain[1][row] != own
            if own < 0:
                assert torch.equal(indices[row], plain[1][row])
            elif k >= 3:
                assert indices[row].tolist() == [*plain[1][row][kept].tolist(), -1]
                assert scores[row, -1] == -torch.inf
                assert torch.equal(scores[row, :-1], plain[0][row][kept])


def test_a_gallery_of_one_item_is_found_by_all_but_itself(backend: str) -> None:
    gallery = features(1)
    assert nearest(features(2, seed=1), gallery, 5, exclude=torch.full((2,), -1))[1].tolist() == [[0], [0]]
    assert nearest(gallery, gallery, 5, exclude=torch.zeros(1, dtype=torch.int64))[1].shape == (1, 0)
    both = torch.cat([gallery, features(1, seed=1)])
    assert nearest(both, gallery, 5, exclude=torch.tensor([0, -1]))[1].tolist() == [[-1], [0]]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    gallery = features(10)
    gallery[3, 2] = value
    with pytest.raises(CoarseconError, match="NaN"):
        l2_normalize(gallery)


def test_unit_takes_arrays_and_gives_rows_of_length_one() -> None:
    rows = l2_normalize((10 * torch.randn(20, 4, dtype=torch.float16)).numpy())
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(20))


def test_features_of_different_widths_are_refused_with_the_remedy():
    with pytest.raises(CoarseconError, match=r"8 dimensions, the gallery has 16; remove the folder features"):
        nearest(torch.ones(2, 8), torch.ones(3, 16), 1)
