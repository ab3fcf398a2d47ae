"""Socket and server process of an app."""

import errno
import socket
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp

from coarsecon.errors import InputError
from coarsecon.serve.connection import MAX_CONNECTIONS, SOFT_MAX_CONNECTIONS, Connection


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free port.

    Raises:
        InputError: The port is in use or not allowed, or the host is not an address of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise InputError("host", f"{host} is not an address of this machine ({error})") from None
    try:
        listening = socket.create_server(address, family=family, backlog=SOFT_MAX_CONNECTIONS)
    except PermissionError:
        raise InputError("port", f"{port} is not allowed", "use 1024 or above, or 0 for any free port") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise InputError("host", f"{host} is not an address of this machine ({error.strerror})") from None
        raise InputError("port", f"{port} is in use", "use another, or 0 for any free port") from None
    # Inherited by its connections, which would else wait 40 ms between the head and the body of each answer.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    address, port = listening.getsockname()[:2]
    if ip_address(address).is_unspecified:
        address = "::1" if ":" in address else "127.0.0.1"
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def is_loopback(listening: socket.socket) -> bool:
    """Return True if only this machine can connect."""
    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Create a single-process server; `run(sockets=[listen(...)])` serves until Ctrl-C or `should_exit`."""
    return uvicorn.Server(
        uvicorn.Config(
            app, http=Connection, ws="none", lifespan="off", loop="asyncio", log_level="warning", access_log=False,
            server_header=False, proxy_headers=False, limit_concurrency=MAX_CONNECTIONS + 1,
            timeout_graceful_shutdown=3,
        )
    )  # fmt: skip
