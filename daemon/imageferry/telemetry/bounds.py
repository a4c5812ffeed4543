"""Bounds on the connections of strangers: how many there may be, and how long one may take to say what it wants.

:func:`imageferry.telemetry.http.serving` takes them for listeners that the world can reach. What a request may take
once its head is there is its application's affair.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b'content-length: 34\r\n\r\n{"error": "too many connections"}\n'
)


class Bounds(NamedTuple):
    """What one listener grants."""

    connections: int = 128
    """At once; one more takes the place of the one that has been idle for longest, or is refused."""
    head: float = 10.0
    """Seconds from a connection's start, or from the first byte of its next request, to the end of a request's head."""


def bounded(bounds: Bounds) -> type[H11Protocol]:
    """The protocol of a listener with these bounds; it keeps its server's own otherwise."""

    class Bounded(_Bounded):
        _bounds = bounds

    return Bounded


class _Bounded(H11Protocol):
    """The server arms its timer only after an answer: here it runs whenever no request is being answered."""

    _bounds: Bounds
    _until = 0.0
    """When the head that is awaited must be there; 0 while nothing of it has come, or a request is being answered."""
    idle_since: float | None = None
    """None while a request is being answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the server's own
        super().connection_made(transport)
        self._rest()
        if len(self.connections) > self._bounds.connections and not self._make_room():
            transport.write(_FULL)
            transport.close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._busy():
            self.idle_since, self._until = None, 0.0
        else:
            self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._busy():  # a request that was sent ahead may be under way already
            self._rest()

    def _busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        return cycle is not None and not cycle.response_complete

    def _rest(self) -> None:
        self.idle_since = self.loop.time()

    def _await_head(self) -> None:
        """Close the connection when the head is late; what comes of it meanwhile does not buy more time."""
        if self.transport.is_closing() or self.timeout_keep_alive_task is not None:
            return
        self._until = self._until or self.loop.time() + self._bounds.head
        self.timeout_keep_alive_task = self.loop.call_at(self._until, self.timeout_keep_alive_handler)

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest; False where all are at work."""
        others = [one for one in self.connections if isinstance(one, _Bounded) and one is not self]
        idle = [one for one in others if one.idle_since is not None and not one.transport.is_closing()]
        if idle:
            min(idle, key=lambda one: one.idle_since or 0.0).timeout_keep_alive_handler()
        return bool(idle)
