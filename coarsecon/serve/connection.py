"""Connections of the server: deadlines for clients, and room for new connections.

By default uvicorn waits forever for the rest of a request, and answers with 503 while others keep all connections.
"""

import asyncio
from ipaddress import ip_address
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""Time for a complete request header, from the connection or the first byte of a further request."""

BODY_SECONDS = 45.0
"""Time for a request body; the app itself ends uploads after 30 seconds."""

SOFT_MAX_CONNECTIONS, SOFT_MAX_PER_ADDRESS = 64, 32
"""Connections, in total and per address, beyond which those that keep the server waiting longest are closed."""

GRACE_SECONDS = 0.5
"""Time for which a new connection is not closed for another."""

MAX_CONNECTIONS = 256
"""Connections beyond which even young ones are closed, or else the new one."""


class Connection(H11Protocol):
    """HTTP connection with deadlines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._phase: Any = None
        self._since = 0.0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, and close other connections if there are too many."""
        super().connection_made(transport)
        self._watch()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Receive part of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._phase = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _watch(self) -> None:
        """Start a deadline when the client begins to owe something else."""
        phase = self.conn.their_state
        if phase is self._phase:
            return
        self._phase, self._since = phase, self.loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
        seconds = {h11.IDLE: HEADER_SECONDS, h11.SEND_BODY: BODY_SECONDS}.get(phase)
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._too_late, seconds)

    def _too_late(self, seconds: float) -> None:
        if self.flow.read_paused:  # the server keeps the client waiting: it has not yet taken what was sent
            self._deadline = self.loop.call_later(seconds, self._too_late, seconds)
        else:
            self.transport.abort()

    def _make_room(self) -> None:
        """Close the connections that wait longest for their clients, if there are too many."""
        crowd = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        neighbors = [each for each in crowd if each._address() == self._address()]
        for among, limit, grace in (
            (neighbors, SOFT_MAX_PER_ADDRESS, GRACE_SECONDS),
            (crowd, SOFT_MAX_CONNECTIONS, GRACE_SECONDS),
            (crowd, MAX_CONNECTIONS, 0.0),
        ):
            open_ = [each for each in among if each in self.connections]
            old = [each for each in open_ if each._order() and self.loop.time() - each._since >= grace]
            for connection in sorted(old, key=lambda each: each._order() or ())[: max(0, len(open_) + 1 - limit)]:
                connection.transport.abort()
                self.connections.discard(connection)
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.abort()

    def _order(self) -> tuple[int, float] | None:
        """Return the order in which connections are closed; None while the server computes an answer."""
        kinds = (self.conn.their_state is h11.IDLE, self.conn.their_state is h11.SEND_BODY, self.flow.write_paused)
        return (kinds.index(True), self._since) if True in kinds else None

    def _address(self) -> str:
        """Return the address of the client, for IPv6 its network, in which it may have any number of them."""
        host = ip_address((self.client or ("0.0.0.0", 0))[0].partition("%")[0])
        return str(host) if host.version == 4 else host.exploded[:19]
