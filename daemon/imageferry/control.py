"""The daemon's own socket, beside its SQLite ledger: how commands that write reach the one process that may write.

One JSON object a line in, one out. The app serves it, the commands ask; it knows nothing of what is asked.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

LONGEST_LINE: Final = 65_536
LONGEST_ANSWER: Final = 16 * 1_048_576
"""Bytes that a command takes from the daemon: what policies and strangers write comes back in it, escaped."""
ANSWER_WITHIN: Final = 30.0
"""Seconds a command waits for the daemon."""

Request = Mapping[str, Any]
Handler = Callable[[Request], Awaitable[Mapping[str, Any]]]


def socket_path(ledger: Path) -> Path:
    """Where the daemon of a SQLite ledger listens."""
    return ledger.with_name(ledger.name + ".sock")


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The same file by a short name: a socket's path may have no more than 107 bytes."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@asynccontextmanager
async def listening(path: Path, handle: Handler) -> AsyncIterator[None]:
    """Serve ``handle`` on a socket that only this user can reach, while the context is open."""
    with suppress(FileNotFoundError):
        await anyio.Path(path).unlink()
    with _short(path) as short:
        listener = await anyio.create_unix_listener(short, mode=stat.S_IRUSR | stat.S_IWUSR)

    async def serve_one(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.DelimiterNotFound, anyio.IncompleteRead):
                line = await BufferedByteReceiveStream(stream).receive_until(b"\n", LONGEST_LINE)
                await stream.send(json.dumps(await _answer(handle, line)).encode() + b"\n")

    try:
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve_one, name="control socket")
            yield
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True), suppress(FileNotFoundError):
            await anyio.Path(path).unlink()


async def _answer(handle: Handler, line: bytes) -> Mapping[str, Any]:
    """What is no request is answered too: one line must not end the daemon."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return {"error": "this is no request; a JSON object on one line was expected"}
    return await handle(request)


async def ask(path: Path, request: Request) -> Mapping[str, Any] | None:
    """The daemon's answer, or None when no daemon listens there.

    :raises TimeoutError: a daemon listens and does not answer.
    """
    try:
        with _short(path) as short:
            stream = await anyio.connect_unix(short)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    async with stream:
        with anyio.fail_after(ANSWER_WITHIN):
            await stream.send(json.dumps(dict(request)).encode() + b"\n")
            answer: Mapping[str, Any] = json.loads(
                await BufferedByteReceiveStream(stream).receive_until(b"\n", LONGEST_ANSWER)
            )
    return answer
