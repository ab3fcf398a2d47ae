"""`coarsecon serve`: says where the page is, ends on Ctrl-C, and tells what stands in its way before any work."""

import signal
import socket
import subprocess
import sys
from urllib.request import urlopen

import pytest
from support.serving import Ending

pytest.importorskip("uvicorn")


@pytest.fixture
def ending(monkeypatch):
    monkeypatch.setattr("coarsecon.serve.server.make_server", Ending)


def test_it_serves_until_ctrl_c_and_ends_well(tiny_run, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    command = [sys.executable, "-m", "coarsecon", "serve", tiny_run, "--port", "0", "--device", "cpu", "--workers", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert b"page-data" in urlopen(url, timeout=20).read()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 0, err
    assert out == ""
    assert "serving 96 images of train" in err
    assert "Traceback" not in err
    assert "interrupted" not in err


def test_a_port_that_is_taken_is_told(coarsecon, tiny_run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = coarsecon("serve", tiny_run, "--port", port)
    assert done.code == 2
    assert f"port: {port} is in use" in done.err
    assert "0 for any free port" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "no such host"], "host: no such host is not an address of this machine"),
        (["--host", "192.0.2.1", "--port", 0], "host: 192.0.2.1 is not an address of this machine"),
        (["--port", 0, "--split", "nope"], "no split nope"),
        (["--port", 0, "--index", "Nonsense"], "index: FAISS cannot build 'Nonsense'"),
        (["--port", 0, "--data", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_wrong_usage_ends_with_code_2_and_one_line(coarsecon, tiny_run, arguments, says):
    done = coarsecon("serve", tiny_run, "--device", "cpu", *arguments)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_an_address_that_others_reach_is_warned_of(coarsecon, tiny_run, ending):
    loud = coarsecon("serve", tiny_run, "--port", 0, "--host", "0.0.0.0", "--device", "cpu")
    quiet = coarsecon("serve", tiny_run, "--port", 0, "--host", "localhost", "--device", "cpu")
    assert loud.code == quiet.code == 0
    assert "WARNING" in loud.err
    assert "no password" in loud.err
    assert loud.out.startswith("http://127.0.0.1:"), "the address to open on this machine"
    assert "WARNING" not in quiet.err


def test_an_approximate_index_says_how_much_it_finds(coarsecon, tiny_run, ending):
    done = coarsecon("serve", tiny_run, "--port", 0, "--device", "cpu", "--index", "IVF4,Flat")
    assert done.code == 0, done.err
    assert "index IVF4,Flat finds" in done.err
    assert "% of the true 12 neighbors" in done.err


def test_the_browser_is_opened_only_on_request(coarsecon, tiny_run, ending, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    coarsecon("serve", tiny_run, "--port", 0, "--device", "cpu")
    assert opened == []
    done = coarsecon("serve", tiny_run, "--port", 0, "--device", "cpu", "--open")
    assert opened == [done.out.strip()]


def test_a_missing_package_comes_with_the_command_that_adds_it(coarsecon, tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = coarsecon("serve", tiny_run)
    assert done.code == 2
    assert "needs uvicorn, which is not installed; run `pip install 'coarsecon[serve]'`" in done.err
