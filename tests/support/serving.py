"""A served run on this machine, and requests to it as a browser or a stranger would send them."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A server in a thread. `ask` sends what the page would send, unless told otherwise."""

    def __init__(self, url: str, run: Path) -> None:
        self.url, self.run, self.marks = url, run, run / "results" / "marks.csv"
        self.place = url.removeprefix("http://").rstrip("/")
        page = self.ask("GET", "/", headers={}).body.decode()
        self.data = json.loads(re.search(r'class="page-data">(.*?)</script>', page)[1])

    def ask(self, method: str, path: str, body: Any = None, *, headers: dict[str, str | None] | None = None) -> Answer:
        """`headers` replace the page's token; a Host of None leaves the header out."""
        own = dict([self.data["token"]]) if headers is None else headers
        connection = HTTPConnection(self.place, timeout=20)
        connection.putrequest(method, path, skip_host="Host" in own, skip_accept_encoding=True)
        for name, value in own.items():
            if value is not None:
                connection.putheader(name, value)
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        answer = Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )
        connection.close()
        return answer


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """`serve(run)` serves a copy of a run, its training images, until the test ends."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    from coarsecon.run.facade import Run
    from coarsecon.run.folder import open_run
    from coarsecon.run.spec import Runtime
    from coarsecon.runtime.progress import Reporter
    from coarsecon.serve.app import create_app
    from coarsecon.serve.finder import Finder
    from coarsecon.serve.marks import Marks
    from coarsecon.serve.server import listen, make_server, url_of

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = []

    def start(original: Path, *, index: str = "Flat") -> Served:
        run = tmp_path / "<run>"
        shutil.copytree(original, run)
        opened = open_run(run)
        session = Run(opened, None, runtime=Runtime("cpu", 0, Reporter()))
        app = create_app(Finder.of(session, "train", index), Marks(opened.results / "marks.csv"), opened)
        server, listening = make_server(app), listen("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread, listening))
        return Served(url_of(listening), run)

    yield start
    for server, thread, listening in running:
        server.should_exit = True
        thread.join()
        listening.close()
