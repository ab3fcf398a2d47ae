"""Run the server of a local page: warn about the network, print the address, and serve until Ctrl-C."""

import contextlib
import socket
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from coarsecon.cli.progress import ConsoleReporter

if TYPE_CHECKING:
    from starlette.types import ASGIApp

Host = Annotated[str, typer.Option(help="Bind address. Non-loopback addresses expose the server to the network.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free port.")]
OpenBrowser = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def serve_until_interrupted(
    app: "ASGIApp", listening: socket.socket, reporter: ConsoleReporter, *, host: str, shown: str, open_browser: bool
) -> None:
    """Serve an app on a listening socket; `shown` names what everybody who can connect sees or does."""
    from coarsecon.runtime.threads import single_threaded
    from coarsecon.serve.server import is_loopback, make_server, url_of

    if not is_loopback(listening):
        reporter.info(
            f"WARNING: --host {host} exposes the server to the network: everybody who can connect {shown}, with no "
            "password and no encryption. Omit --host to serve this machine only"
        )
    reporter.info("press Ctrl-C to stop")
    print(url_of(listening), flush=True)
    if open_browser:
        webbrowser.open(url_of(listening))
    # One thread for each request, and as many requests at once as there are processors. After Ctrl-C has ended the
    # server, it raises what Ctrl-C would have.
    with single_threaded(), contextlib.suppress(KeyboardInterrupt):
        make_server(app).run(sockets=[listening])
