"""A served run on this machine, and requests to it as a browser or a stranger would send them."""

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Ending:
    """Server that is interrupted by Ctrl-C as soon as it runs."""

    def __init__(self, app: object) -> None:
        self.app = app

    def run(self, sockets: list[socket.socket]) -> None:
        raise KeyboardInterrupt


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


class Reviewed(Served):
    """A served review; `journal` is its file."""

    def __init__(self, url: str, run: Path, journal: Path) -> None:
        super().__init__(url, run)
        self.journal = journal


@pytest.fixture
def review(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """`review(run)` serves a review of two clusters in each coarse class, in a copy of the run, until the test ends."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    from coarsecon.report.evaluate import evaluate
    from coarsecon.review.folder import journal_path, open_or_start
    from coarsecon.review.proposal import places_in
    from coarsecon.review.session import Session
    from coarsecon.run.facade import Run
    from coarsecon.run.folder import open_run
    from coarsecon.run.spec import Runtime
    from coarsecon.runtime.progress import Reporter
    from coarsecon.serve.review import create_review_app
    from coarsecon.serve.server import listen, make_server, url_of

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ExitStack() as stack:

        def start(original: Path) -> Reviewed:
            run = tmp_path / "<run>"
            shutil.copytree(original, run)
            opened = open_run(run)
            session = Run(opened, None, runtime=Runtime("cpu", 0, Reporter()))
            evaluate(session, "cluster", k=2, restarts=1)
            journal = stack.enter_context(open_or_start(opened, "labels", None, "anna", Reporter()))
            images = session.dataset.split("train")
            places = places_in(images.names, journal.state.proposal, session.dataset.root)
            app = create_review_app(
                Session(journal, session.features("train")[places], "anna"), lambda i: images.image(places[i]), opened,
                name="labels",
            )  # fmt: skip
            server, listening = make_server(app), stack.enter_context(listen("127.0.0.1", 0))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            return Reviewed(url_of(listening), run, journal_path(opened, "labels"))

        yield start
