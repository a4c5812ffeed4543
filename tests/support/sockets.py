"""Servers that speak just enough HTTP to behave badly: each connection is handed to a test's own coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Peer:
    """One connection as the server has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Server

    async def request(self) -> bytes | None:
        """The next whole request, head and body; None when the client has gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        request = head + await self.reader.readexactly(int(length.partition(b":")[2]))
        self.server.requests.append(request)
        self.server.heard.set()
        return request

    async def answer(self, data: bytes = OK) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()


@dataclass
class Server:
    """What a server saw."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_heard(self, count: int = 1) -> None:
        """Wait until so many requests have come in."""
        while len(self.requests) < count:
            self.heard.clear()
            await self.heard.wait()


Handler = Callable[[Peer], Awaitable[None]]


async def obliging(peer: Peer) -> None:
    """Answers everything."""
    while await peer.request() is not None:
        await peer.answer()


async def silent(peer: Peer) -> None:
    """Never answers."""
    while await peer.request() is not None:
        pass


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[Server]:
    """Serve ``handler`` on any free port of the loopback interface."""
    seen = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            await handler(Peer(reader, writer, seen))
        except ConnectionError:
            pass
        finally:
            writer.close()
            seen.closed.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        server.close()
        await server.wait_closed()
