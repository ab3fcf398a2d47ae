"""Connections that keep the server waiting are closed in time, and never keep others out."""

import http.client
import socket
import threading
import time
from contextlib import ExitStack

import pytest

pytest.importorskip("uvicorn")

from coarsecon.serve import connection
from coarsecon.serve.server import listen, make_server

LARGE = 8 * 2**20


async def app(scope, receive, send):
    """Answers with the length of the body; /large with many bytes, /now without reading the body."""
    length = 0
    while scope["path"] == "/":
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = bytes(LARGE) if scope["path"] == "/large" else str(length).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def address():
    listening = listen("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join()
    listening.close()


def ask(address, body=None, *, on=None):
    client = on or http.client.HTTPConnection(*address, timeout=10)
    client.request("POST" if body else "GET", "/", body)
    answer = client.getresponse()
    return answer.status, answer.read()


def is_closed_within(client, seconds):
    client.settimeout(seconds)
    try:
        while client.recv(4096):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def sends_slowly(client, stop, piece):
    while not stop.wait(0.05):
        try:
            client.sendall(piece)
        except OSError:
            return


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"", None),
        (b"GET / HT", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ],
    ids=["silent", "half-line", "slow-header", "slow-body", "slow-body-after-answer", "slow-reader"],
)
def test_an_ordinary_request_is_answered_beside_100_slow_clients(address, begin, piece):
    stop = threading.Event()
    with ExitStack() as stack:
        stack.callback(stop.set)
        for _ in range(100):
            client = stack.enter_context(socket.create_connection(address))
            client.sendall(begin)
            if piece:
                threading.Thread(target=sends_slowly, args=(client, stop, piece), daemon=True).start()
        start = time.monotonic()
        assert ask(address) == (200, b"0")
        assert ask(address, b"abc") == (200, b"3")
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"])
def test_a_header_that_does_not_come_closes_the_connection(address, first, monkeypatch):
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.3)
    with socket.create_connection(address) as client:
        client.sendall(first)
        if first.endswith(b"GET"):
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert is_closed_within(client, 3)


def test_bytes_that_trickle_do_not_extend_the_deadline_of_a_header(address, monkeypatch):
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.4)
    stop = threading.Event()
    with socket.create_connection(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        threading.Thread(target=sends_slowly, args=(client, stop, b"A: b\r\n"), daemon=True).start()
        assert is_closed_within(client, 3)
        stop.set()


@pytest.mark.parametrize("path", ["/", "/now"])
def test_a_body_that_does_not_come_closes_the_connection(address, path, monkeypatch):
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.3)
    with socket.create_connection(address) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n".encode())
        if path == "/now":
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert is_closed_within(client, 3)


def test_a_browser_keeps_its_connection_for_many_requests(address, monkeypatch):
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.5)
    client = http.client.HTTPConnection(*address, timeout=10)
    client.connect()
    port = client.sock.getsockname()[1]
    for number in range(8):
        body = b"x" * number
        assert ask(address, body, on=client) == (200, str(number).encode())
        time.sleep(0.1)
    assert client.sock.getsockname()[1] == port


def test_a_request_in_progress_is_not_closed_for_others(address, monkeypatch):
    """Its body comes slowly, and fewer others are silent than there is room for."""
    with ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(address))
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab")
        for _ in range(20):
            stack.enter_context(socket.create_connection(address))
        time.sleep(0.6)
        for _ in range(20):
            stack.enter_context(socket.create_connection(address))
        assert ask(address) == (200, b"0")
        client.sendall(b"cd")
        client.settimeout(5)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_beyond_the_highest_number_the_oldest_idle_connection_is_closed(address, monkeypatch):
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 40)
    monkeypatch.setattr(connection, "GRACE_SECONDS", 60)
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(42)]
        assert is_closed_within(clients[0], 2)
        assert is_closed_within(clients[1], 2)
        assert not is_closed_within(clients[2], 0.1)
        assert ask(address) == (200, b"0")
