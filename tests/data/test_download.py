"""A download comes whole and right, or not at all."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coarsecon.data.download import CHUNK, download
from coarsecon.errors import CoarseconError, InputError
from coarsecon.reporting import Progress, Reporter

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Recorder(Reporter, Progress):
    """Counts what it is told."""

    total: int | None = None
    done = 0

    @contextmanager
    def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
        self.total = total
        yield self

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount


@pytest.fixture
def url(tmp_path: Path) -> str:
    published = tmp_path / "published.tar.gz"
    published.write_bytes(CONTENT)
    return published.as_uri()


def test_the_file_is_fetched_with_progress_and_kept(url: str, tmp_path: Path) -> None:
    reporter = Recorder()
    target = tmp_path / "cache" / "set.tar.gz"
    assert download(url, target, md5=MD5, reporter=reporter) == target
    assert target.read_bytes() == CONTENT
    assert reporter.done == reporter.total == -(-len(CONTENT) // CHUNK) > 1
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    target = tmp_path / "set.tar.gz"
    target.write_bytes(CONTENT)
    assert download("http://127.0.0.1:9/set.tar.gz", target, md5=MD5, reporter=Reporter()) == target


def test_another_file_in_its_place_is_left_alone(url: str, tmp_path: Path) -> None:
    target = tmp_path / "set.tar.gz"
    target.write_bytes(b"the user's")
    with pytest.raises(InputError, match=f"{target}: md5 .* delete the file"):
        download(url, target, md5=MD5, reporter=Reporter())
    assert target.read_bytes() == b"the user's"


def test_a_wrong_checksum_leaves_nothing(url: str, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "set.tar.gz"
    with pytest.raises(CoarseconError, match="md5"):
        download(url, target, md5="0" * 32, reporter=Reporter())
    assert list(target.parent.iterdir()) == []


def test_offline_the_error_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "set.tar.gz"
    with pytest.raises(InputError, match=rf"http://127.0.0.1:9/set.tar.gz .* by hand and put it at {target}"):
        download("http://127.0.0.1:9/set.tar.gz", target, md5=MD5, reporter=Reporter())
    assert not target.parent.exists()


def test_an_interruption_leaves_nothing(url: str, tmp_path: Path) -> None:
    class Interrupting(Recorder):
        def advance(self, amount: int = 1, note: str = "") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(url, tmp_path / "cache" / "set.tar.gz", md5=MD5, reporter=Interrupting())
    assert list((tmp_path / "cache").iterdir()) == []
