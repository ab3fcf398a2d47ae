"""Signatures of indexes: only what this user built is parsed by FAISS."""

import json
import os

import pytest
import torch

from coarsecon.errors import InputError
from coarsecon.search import index, signature
from coarsecon.search.index import SearchIndex
from coarsecon.search.items import ItemTable


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    signature.user_key.cache_clear()
    yield tmp_path / "cache" / "coarsecon" / "index.key"
    signature.user_key.cache_clear()


@pytest.fixture
def saved(tmp_path):
    pytest.importorskip("faiss")
    features = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    SearchIndex.build(features, ItemTable(names=[str(i) for i in range(64)]), "HNSW8").save(tmp_path / "index")
    return tmp_path / "index"


def test_an_index_of_this_user_is_read_in_another_process(saved):
    signature.user_key.cache_clear()
    assert SearchIndex.load(saved).factory == "HNSW8"


def test_an_index_of_another_user_is_not_parsed(saved, home, monkeypatch):
    home.unlink()
    signature.user_key.cache_clear()
    monkeypatch.setattr(index.faiss, "read_index", lambda _: pytest.fail("the file was parsed"))
    with pytest.raises(InputError, match="was not built by this user on this machine"):
        SearchIndex.load(saved)


@pytest.mark.parametrize("signed", ["", "0" * 64, "é"])
def test_a_forged_signature_is_refused(saved, signed, monkeypatch):
    manifest = json.loads((saved / "items.json").read_text())
    (saved / "items.json").write_text(json.dumps(manifest | {"signature": signed}))
    monkeypatch.setattr(index.faiss, "read_index", lambda _: pytest.fail("the file was parsed"))
    with pytest.raises(InputError, match="build the index again"):
        SearchIndex.load(saved)


def test_the_key_is_private_to_the_user(saved, home):
    assert len(home.read_bytes()) == signature.KEY_BYTES
    if os.name == "posix":
        assert home.stat().st_mode & 0o077 == 0


def test_without_a_home_that_can_be_written_the_key_lasts_for_the_process(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    signature.user_key.cache_clear()
    assert signature.user_key() == signature.user_key()
