"""A download comes whole and right, goes on where it broke off, and never leaves what is wrong in place."""

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from loopback import Files

from coarsecon.data.sources import download as module
from coarsecon.data.sources.download import CHUNK, download
from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.progress import Progress, Reporter

CONTENT = bytes(range(256)) * 16384  # 4 MiB
MD5 = hashlib.md5(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Recorder(Reporter, Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.done = 0
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
        self.totals.append(total)
        self.done = 0
        yield self

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount


class Place(NamedTuple):
    url: str
    target: Path
    part: Path

    def fetch(self, reporter: Reporter | None = None, md5: str = MD5) -> Path:
        return download(self.url, self.target, md5=md5, reporter=reporter or Reporter())


@pytest.fixture
def place(served: Files, tmp_path: Path) -> Place:
    served.content["/set.tar.gz"] = CONTENT
    target = tmp_path / "cache" / "set.tar.gz"
    return Place(f"{served.url}/set.tar.gz", target, target.with_name("set.tar.gz.coarsecon-part"))


def test_the_file_is_fetched_with_progress_and_kept(place: Place) -> None:
    reporter = Recorder()
    assert place.fetch(reporter) == place.target
    assert place.target.read_bytes() == CONTENT
    assert [reporter.done] == reporter.totals == [len(CONTENT) // CHUNK]
    assert list(place.target.parent.iterdir()) == [place.target]


def test_a_file_that_is_there_is_not_fetched_again(place: Place, served: Files) -> None:
    place.fetch()
    place.fetch()
    assert len(served.requests) == 1


def test_another_file_in_its_place_is_left_alone(place: Place) -> None:
    place.target.parent.mkdir()
    place.target.write_bytes(b"the user's")
    with pytest.raises(InputError, match=f"{place.target}: md5 .* delete the file"):
        place.fetch()
    assert place.target.read_bytes() == b"the user's"


def test_a_line_that_breaks_off_is_taken_up_again(place: Place, served: Files) -> None:
    served.drop_after = [HALF, 1000]
    reporter = Recorder()
    place.fetch(reporter)
    assert place.target.read_bytes() == CONTENT
    assert served.requests == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert reporter.totals == [4, 4, 4]


def test_what_came_before_a_failure_is_kept_for_the_next_run(place: Place, served: Files) -> None:
    served.drop_after = [HALF, 0]
    with pytest.raises(InputError, match=r"broke after 2\.0 of 4\.0 MiB\); run again to resume") as failure:
        place.fetch()
    assert f"download it manually to {place.target}" in str(failure.value)
    assert (place.part.read_bytes(), place.target.exists()) == (CONTENT[:HALF], False)
    place.fetch()
    assert place.target.read_bytes() == CONTENT
    assert served.requests[-1] == f"bytes={HALF}-"
    assert not place.part.exists()


def test_an_interruption_keeps_what_came(place: Place) -> None:
    class Interrupting(Recorder):
        def advance(self, amount: int = 1, note: str = "") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.fetch(Interrupting())
    assert place.part.read_bytes() == CONTENT[:CHUNK]
    place.fetch()
    assert place.target.read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_sends_all_again(place: Place, served: Files) -> None:
    served.ignores_range = True
    served.drop_after = [HALF]
    place.fetch()
    assert place.target.read_bytes() == CONTENT
    assert served.requests == [None, f"bytes={HALF}-"]


def test_a_server_that_knows_no_ranges_and_always_breaks_off_is_given_up(place: Place, served: Files) -> None:
    served.ignores_range = True
    served.drop_after = [HALF] * 100
    with pytest.raises(InputError, match="the connection broke"):
        place.fetch()
    assert len(served.requests) == 2


def test_a_part_of_another_place_is_refused(place: Place, served: Files) -> None:
    place.part.parent.mkdir()
    place.part.write_bytes(CONTENT[:HALF])
    served.wrong_range = True
    with pytest.raises(InputError, match="another range than requested"):
        place.fetch()
    place.fetch()
    assert place.target.read_bytes() == CONTENT


def test_a_part_with_other_content_is_fetched_anew(place: Place) -> None:
    place.part.parent.mkdir()
    place.part.write_bytes(b"something else")
    reporter = Recorder()
    place.fetch(reporter)
    assert place.target.read_bytes() == CONTENT
    assert "from the start" in reporter.lines[0]


@pytest.mark.parametrize("extra", [b"", b"and more"])
def test_a_part_that_is_whole_or_too_long_comes_right(place: Place, extra: bytes) -> None:
    place.part.parent.mkdir()
    place.part.write_bytes(CONTENT + extra)
    place.fetch()
    assert place.target.read_bytes() == CONTENT


def test_the_partial_file_of_another_program_survives(place: Place) -> None:
    """Browsers keep what they fetch as NAME.part."""
    place.target.parent.mkdir()
    other = place.target.with_name("set.tar.gz.part")
    other.write_bytes(b"half of something")
    assert place.fetch().read_bytes() == CONTENT
    assert other.read_bytes() == b"half of something"
    assert {path.name for path in place.target.parent.iterdir()} == {"set.tar.gz", "set.tar.gz.part"}


def test_nothing_is_fetched_through_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "user.txt").write_bytes(b"kept")
    place.part.parent.mkdir()
    place.part.symlink_to(tmp_path / "user.txt")
    with pytest.raises(CoarseconError, match="cannot be written"):
        place.fetch()
    assert (tmp_path / "user.txt").read_bytes() == b"kept"


def test_wrong_bytes_leave_nothing(place: Place) -> None:
    with pytest.raises(CoarseconError, match=r"what came has md5 .*; try again later"):
        place.fetch(md5="0" * 32)
    assert not place.target.parent.exists()


def test_a_length_announced_too_short_is_noticed(place: Place, served: Files) -> None:
    served.announces = HALF
    with pytest.raises(CoarseconError, match="md5"):
        place.fetch()
    assert not place.target.parent.exists()


def test_a_length_announced_too_long_does_no_harm(place: Place, served: Files) -> None:
    served.announces = 2 * len(CONTENT)
    place.fetch()
    assert place.target.read_bytes() == CONTENT
    assert served.requests == [None, f"bytes={len(CONTENT)}-"]


def test_without_an_announced_length_the_checksum_decides(place: Place, served: Files) -> None:
    served.announces = -1
    reporter = Recorder()
    place.fetch(reporter)
    assert place.target.read_bytes() == CONTENT
    assert (reporter.totals, reporter.done) == ([None], 4)


def test_more_than_any_file_holds_is_refused(place: Place, served: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", HALF)
    for announced in (None, -1):
        served.announces = announced
        with pytest.raises(CoarseconError, match="larger than any original file"):
            place.fetch()
        assert not place.target.parent.exists()


def test_a_disk_without_room_is_told_before(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(place.target.parent.parent)._replace(free=HALF)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CoarseconError, match="4 MiB are to come, but the disk has 2 MiB left"):
        place.fetch()
    assert not place.target.parent.exists()


def test_redirects_lead_to_http_alone(place: Place, served: Files, tmp_path: Path) -> None:
    served.redirects["/moved"] = place.url
    moved = place._replace(url=f"{served.url}/moved")
    assert moved.fetch().read_bytes() == CONTENT
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    for elsewhere in (
        secret.as_uri(),
        "ftp://127.0.0.1/set.tar.gz",
        "data:,content",
        "gopher://127.0.0.1/1",
        "http://[",
    ):
        served.redirects["/moved"] = elsewhere
        target = tmp_path / "other" / "set.tar.gz"
        with pytest.raises(InputError, match="cannot be downloaded"):
            download(moved.url, target, md5=MD5, reporter=Reporter())
        assert not target.parent.exists()


def test_links_of_other_kinds_and_missing_files_are_refused(place: Place, served: Files, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    for url, problem in ((secret.as_uri(), "unknown url type"), (f"{served.url}/none", "404")):
        with pytest.raises(InputError, match=problem):
            download(url, place.target, md5=MD5, reporter=Reporter())


def test_offline_the_error_says_what_to_fetch_and_where_to_put_it(place: Place) -> None:
    url = "http://127.0.0.1:9/set.tar.gz"
    with pytest.raises(InputError, match=rf"{url}: .* manually to {place.target}"):
        place._replace(url=url).fetch()
    assert not place.target.parent.exists()


def test_two_at_a_time_fetch_once(place: Place, served: Files) -> None:
    threads = [threading.Thread(target=place.fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.target.read_bytes() == CONTENT
    assert len(served.requests) == 1
    assert list(place.target.parent.iterdir()) == [place.target]
