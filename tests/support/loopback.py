"""A file server on this machine that misbehaves as it is told."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Files:
    """What the server holds by path, and how it serves it; `requests` are the ranges it was asked for."""

    content: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    drop_after: list[int] = field(default_factory=list)
    """Bytes of the body after which each of the next answers breaks off."""
    ignores_range: bool = False
    wrong_range: bool = False
    announces: int | None = None
    """The length it claims; -1: none, the end of the connection is the end of the file."""
    requests: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(files: Files) -> Iterator[Files]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            files.requests.append(asked)
            if self.path in files.redirects:
                self.send_response(302)
                self.send_header("Location", files.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if self.path not in files.content:
                self.send_error(404)
                return
            body, start = files.content[self.path], 0
            if asked and not files.ignores_range:
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start and start >= len(body):
                self.send_error(416)
                return
            body = body[start:]
            self.send_response(206 if start else 200)
            if start:
                first = start + files.wrong_range
                self.send_header("Content-Range", f"bytes {first}-{start + len(body) - 1}/{start + len(body)}")
            length = len(body) if files.announces is None else files.announces
            if length >= 0:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body[: files.drop_after.pop(0)] if files.drop_after else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """A server that holds nothing yet."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Files()) as files:
        yield files
