"""Published weights without a hub: only the cache is used, and the reason is reported."""

import pytest
from huggingface_hub import constants
from launch import free_port

from coarsecon.backbones import hub
from coarsecon.backbones.hub import cached_weights_only_if_unreachable


@pytest.fixture
def unreachable(monkeypatch):
    """A hub at an address where nothing listens, and no setting that switches it off."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    hub.is_reachable.cache_clear()
    yield
    hub.is_reachable.cache_clear()


def test_an_unreachable_hub_is_asked_once_and_not_by_every_download(unreachable, monkeypatch):
    assert not hub.is_reachable()
    monkeypatch.setattr(hub, "get_session", None)  # asking again would fail
    with cached_weights_only_if_unreachable():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


def test_weights_of_an_unreachable_hub_are_skipped_with_the_reason(unreachable, tiny_data, tmp_path, coarsecon):
    words = ("--out", tmp_path / "runs", "--device", "cpu", "--workers", 0)
    done = coarsecon("backbones", tiny_data, "test_resnet.r160_in1k", *words)
    assert done.code == 1
    assert "test_resnet.r160_in1k: the weights cannot be downloaded, and are not cached" in done.err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()
