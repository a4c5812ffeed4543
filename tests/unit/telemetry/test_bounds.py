"""What a listener that strangers can reach grants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from imageferry.telemetry.bounds import Bounds
from imageferry.telemetry.http import serving
from support.waiting import until

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
SOON = 30.0
Address = tuple[str, int]


class Desk:
    """Answers at once, or, while it is closed, only once it is opened."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.open.set()
        self.entered = 0
        self.app = Starlette(routes=[Route("/", self.page)])

    async def page(self, _: Request) -> Response:
        self.entered += 1
        await self.open.wait()
        return PlainTextResponse("hello")


@asynccontextmanager
async def client(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The status line of the next answer of the desk."""
    with anyio.fail_after(SOON):
        return (await reader.readuntil(b"hello")).split(b"\r\n")[0]


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Everything until the other side closes."""
    said = b""
    with anyio.fail_after(SOON), suppress(ConnectionResetError):
        while piece := await reader.read(65_536):
            said += piece
    return said


async def test_a_client_that_says_nothing_is_let_go() -> None:
    async with serving(Desk().app, "127.0.0.1", 0, bounds=Bounds(head=0.1)) as at, client(at) as (reader, _):
        assert await closed(reader) == b""


async def test_a_head_that_comes_line_by_line_does_not_buy_time() -> None:
    async with serving(Desk().app, "127.0.0.1", 0, bounds=Bounds(head=0.3)) as at, client(at) as (reader, writer):

        async def trickle() -> None:
            while not writer.is_closing():
                writer.write(b"x: y\r\n")
                await asyncio.sleep(0.01)

        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n")
        async with anyio.create_task_group() as group:
            group.start_soon(trickle)
            assert await closed(reader) == b""
            group.cancel_scope.cancel()


async def test_the_next_request_of_a_connection_has_the_same_bound() -> None:
    async with serving(Desk().app, "127.0.0.1", 0, bounds=Bounds(head=0.2)) as at, client(at) as (reader, writer):
        writer.write(GET)
        assert await answer(reader) == b"HTTP/1.1 200 OK"
        writer.write(b"GET / HT")
        assert await closed(reader) == b""


async def test_a_request_that_takes_its_time_to_be_answered_is_not_cut_off() -> None:
    desk = Desk()
    desk.open = anyio.Event()
    async with serving(desk.app, "127.0.0.1", 0, bounds=Bounds(head=0.05)) as at, client(at) as (reader, writer):
        writer.write(GET)
        async with client(at) as (later, _):
            await closed(later)  # it came later and its time is over
        desk.open.set()
        assert await answer(reader) == b"HTTP/1.1 200 OK"


async def test_one_connection_too_many_takes_the_place_of_the_longest_idle_one() -> None:
    bounds = Bounds(connections=2)
    async with (
        serving(Desk().app, "127.0.0.1", 0, bounds=bounds) as at,
        client(at) as (first, to_first),
        client(at) as (second, to_second),
    ):
        for reader, writer in ((first, to_first), (second, to_second)):
            writer.write(GET)
            await answer(reader)
        async with client(at) as (third, to_third):
            to_third.write(GET)
            assert await answer(third) == b"HTTP/1.1 200 OK"
            assert await closed(first) == b""
            to_second.write(GET)
            assert await answer(second) == b"HTTP/1.1 200 OK"


async def test_one_connection_too_many_is_refused_while_all_are_at_work() -> None:
    desk = Desk()
    desk.open = anyio.Event()
    async with serving(desk.app, "127.0.0.1", 0, bounds=Bounds(connections=1)) as at, client(at) as (first, writer):
        writer.write(GET)
        await until(lambda: desk.entered == 1)
        async with client(at) as (second, _):
            said = await closed(second)
        assert (said[:12], b"retry-after: 1" in said) == (b"HTTP/1.1 503", True)
        desk.open.set()
        assert await answer(first) == b"HTTP/1.1 200 OK"
