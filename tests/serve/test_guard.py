"""Strangers' requests: other host names, other sites, no token; and what every answer tells the browser."""

import pytest

SEARCH = "/search?query=train:1&k=1"


@pytest.fixture
def served(serve, tiny_run):
    return serve(tiny_run)


STRANGERS = [
    "evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "", None, "a@127.0.0.1",
    "127.0.0.1, evil.example", "[::1", "1.2.3",
]  # fmt: skip


@pytest.mark.parametrize("host", STRANGERS)
def test_a_name_that_is_not_ours_is_refused_everywhere(served, host):
    for method, path in (("GET", "/"), ("GET", "/images/1"), ("POST", SEARCH)):
        answer = served.ask(method, path, headers={"Host": host, **dict([served.data["token"]])})
        assert answer.status in (400, 421)
        assert served.data["token"][1].encode() not in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:9000", "LOCALHOST", "[::1]:8765", "192.168.1.7:8765"])
def test_addresses_and_the_names_of_this_machine_are_welcome(served, host):
    host = host.format(port=served.place.split(":")[1])
    assert served.ask("GET", "/", headers={"Host": host}).status == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_whatever_changes_or_computes_needs_the_token(served, method):
    path = "/marks?query=train:1&neighbor=2"
    name, token = served.data["token"]
    for headers in ({}, {name: "guess"}, {name: token[:-1]}, {name: "ä"}):
        assert served.ask(method, path, headers=headers).status == 403
        assert served.ask("POST", SEARCH, b"x", headers=headers).status == 403
    assert not served.marks.exists()
    assert served.ask(method, path).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "", "http://["]
)
def test_another_origin_is_refused_even_with_the_token(served, origin):
    answer = served.ask("POST", SEARCH, headers={"Origin": origin, **dict([served.data["token"]])})
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    own = served.ask("POST", SEARCH, headers={"Origin": served.url.rstrip("/"), **dict([served.data["token"]])})
    assert own.status == 200


def test_a_preflight_gives_no_leave(served):
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = served.ask("OPTIONS", SEARCH, headers=headers)
    assert answer.status == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_every_answer_tells_the_browser_to_be_strict(served):
    for path in ("/", "/page.js", "/images/1", "/nothing", "/map"):
        headers = served.ask("GET", path, headers={}).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
    page = served.ask("GET", "/", headers={})
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


def test_a_page_holds_no_inline_script_or_style(served):
    page = served.ask("GET", "/", headers={}).body.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert page.count("<script") == 2, "its data and the file"
    assert "http://" not in page
    assert "https://" not in page
