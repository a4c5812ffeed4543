"""A request's connection, so that a rehearsal cloud can close it without an answer, never answer, or answer nonsense.

Rehearsal clouds wrap their application in :class:`OwnConnection`. ASGI has no word for "close without an answer", so
this is the one place that reaches for the server behind it (uvicorn's h11 protocol); it serves nothing itself.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imageferry.rehearsal.misbehaviour import Misbehaviour

_SEND: Final = "imageferry.rehearsal.send"


class OwnConnection(Starlette):
    """An application that remembers each request's connection, and writes the Date header itself.

    The server's own Date would be the machine's, beside the rehearsal's, which may be rehearsed to be wrong.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        scope[_SEND] = send
        cycle: Any = getattr(send, "__self__", None)
        own = getattr(cycle, "default_headers", None)
        if own is not None:
            cycle.default_headers = [pair for pair in own if pair[0].lower() != b"date"]
        await super().__call__(scope, receive, send)


class Dropped(Response):
    """The connection is closed without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Close it, and wait until the server knows: it would answer 500 otherwise."""
        cycle = getattr(scope.get(_SEND), "__self__", None)
        transport = getattr(cycle, "transport", None)
        if transport is None:
            raise RuntimeError("a connection can only be dropped behind imageferry's own HTTP server")
        transport.close()
        await _gone(receive)


class Hung(Response):
    """There is never an answer; ends when the client goes away."""

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        """Wait for the client to give up."""
        await _gone(receive)


def befallen(fault: Misbehaviour, garbage: bytes) -> tuple[str, Response]:
    """(what is written down, the answer) for a fault of the connection or of what stands before the API.

    ``garbage`` is the beginning of an answer of the vendor's, cut off.
    """
    done = "" if fault.work == "none" else f", work {fault.work}"
    if fault.fault == "drop":
        return f"drop{done}", Dropped()
    if fault.fault == "hang":
        return f"hang{done}", Hung()
    if fault.fault == "garbage":
        return f"garbage{done}", Response(garbage, 200, media_type="application/json")
    return f"http {fault.status}{done}", page(fault.status)


def page(status: int) -> Response:
    """A bare HTTP status with a page for people."""
    return Response(b"<html>rehearsed</html>", status, media_type="text/html")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
