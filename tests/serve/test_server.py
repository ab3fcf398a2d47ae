"""The socket: the address it says, whom it lets in, and that answers are not held back."""

import socket

import pytest

pytest.importorskip("uvicorn")

from coarsecon.serve.server import is_loopback, listen, url_of


@pytest.mark.parametrize(
    ("host", "url", "alone"),
    [
        ("127.0.0.1", "http://127.0.0.1:{}/", True),
        ("0.0.0.0", "http://127.0.0.1:{}/", False),
        ("::1", "http://[::1]:{}/", True),
        ("::", "http://[::1]:{}/", False),
    ],
)
def test_the_address_leads_there_and_says_who_can_reach_it(host, url, alone):
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with listen(host, 0) as listening:
        assert url_of(listening) == url.format(listening.getsockname()[1])
        assert is_loopback(listening) == alone


def test_small_answers_are_not_held_back():
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
