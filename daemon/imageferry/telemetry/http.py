"""Serving HTTP inside the daemon, and the ops listener's pages.

:func:`serving` is what every listener stands on (ops, webhook, the rehearsal clouds). It installs no signal handlers,
does not run an application's lifespan (what an app needs is opened by its owner), and never outlives its block.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from imageferry.core.image import CLOUD_NAMES
from imageferry.core.job import JobFilter
from imageferry.core.machine import STATES
from imageferry.errors import ImageferryError
from imageferry.telemetry.bounds import Bounds, bounded
from imageferry.telemetry.metrics import CONTENT_TYPE, Metrics

DRAIN_SECONDS: Final = 5
"""How long requests in flight may take to finish once a listener stops; then they are cut off."""
_KEEP_ALIVE: Final = 75
"""Idle seconds before a kept connection is closed; longer than clients keep theirs, so that they close first."""
_LAST_PORT: Final = 65_535
_TICK: Final = 0.1
"""Seconds between two ticks of the library, which writes the Date header anew with every tenth."""
_LAST_WORDS: Final = 1.0
"""Seconds that cut-off requests have to give up their tasks."""


class ListenFailed(ImageferryError):
    """A listener could not be bound; the message says where, why, and what to do."""


@asynccontextmanager
async def serving(
    app: ASGIApp, host: str, port: int, *, drain: int = DRAIN_SECONDS, bounds: Bounds | None = None
) -> AsyncIterator[tuple[str, int]]:
    """Serve ``app`` over HTTP/1.1 while the block runs; yields the bound (host, port). Port 0 takes a free one.

    An error of the block passes through as it is.

    :param drain: whole seconds that requests in flight get to finish when the block ends.
    :param bounds: for a listener that strangers can reach; without it connections are neither counted nor timed.
    :raises ListenFailed: the address cannot be bound.
    """
    sock = await _bind(host, port)
    server = _Server(_config(app, drain, bounds))
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.run_until_told, sock, name=f"http {host}:{port}")
        try:
            yield sock.getsockname()[:2]
        except Exception as error:  # noqa: BLE001 - it is raised again below, outside the group that would wrap it
            failure = error
        finally:
            server.tell()
    if failure is not None:
        raise failure


def _config(app: ASGIApp, drain: int, bounds: Bounds | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11" if bounds is None else bounded(bounds),
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=drain,
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def tell(self) -> None:
        """End, at once."""
        self.should_exit = True
        self._told.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the app: one front door."""
        yield

    async def run_until_told(self, sock: socket.socket, *, task_status: TaskStatus[None]) -> None:
        """Serve until ``should_exit``; shielded, because a cancelled uvicorn leaves its port open."""
        self._ready = task_status
        with sock, anyio.CancelScope(shield=True):
            await self.serve([sock])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.started()

    async def main_loop(self) -> None:
        """As the library's own, which only looks now and then whether it is to end."""
        ticks = 0
        while not await self.on_tick(ticks):
            with anyio.move_on_after(_TICK):
                await self._told.wait()
            ticks += 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(0)  # a connection that its client has closed is then known as closed
        if not self.server_state.connections and not self.server_state.tasks:
            for server in self.servers:
                server.close()
            return
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS)


async def _bind(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise ListenFailed(f"cannot listen on {host}:{port}: ports go from 0 (takes a free one) to {_LAST_PORT}")
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        # asyncio turns Nagle's algorithm off only for sockets that say they are TCP; create_server's do not,
        # and every answer would then wait 40 ms for the client's delayed acknowledgement.
        sock = socket.socket(family, kind, socket.IPPROTO_TCP)
        _listen(sock, address)
    except (OSError, UnicodeError) as error:
        raise ListenFailed(
            f"cannot listen on {host}:{port}: {_why(error)}; give another address, or stop what holds this one "
            "(port 0 takes a free port)"
        ) from error
    sock.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return sock


def _why(error: Exception) -> str:
    """The bare reason: asyncio and the socket module each put the address into theirs once more."""
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError) or error.errno is None:
        return str(error)
    return os.strerror(error.errno)


def _listen(sock: socket.socket, address: tuple[Any, ...]) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
    except OSError:
        sock.close()
        raise


# --- the ops listener ----------------------------------------------------------------------------------------------


class Check(NamedTuple):
    """One line of ``/readyz``."""

    ok: bool
    reason: str


class Readiness(NamedTuple):
    """What ``/readyz`` answers: ready as a whole, and every check by its name."""

    ready: bool
    checks: Mapping[str, Check]


class BadQuery(ImageferryError):
    """A request's query cannot be used; the message says which part and what was expected."""


ReadyCheck = Callable[[], Awaitable[Readiness]]
StoppedLoops = Callable[[], Sequence[str]]
"""The names of the loops that have stopped moving; none means alive."""
JobList = Callable[[JobFilter], Awaitable[Sequence[Mapping[str, Any]]]]
"""Jobs as ``jobs list --format json`` prints them."""


def ops_app(metrics: Metrics, ready: ReadyCheck, live: StoppedLoops, jobs: JobList) -> Starlette:
    """The ops listener: ``/metrics``, ``/livez``, ``/readyz`` and ``/api/v1/jobs``, all read-only."""

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=None, headers={"content-type": CONTENT_TYPE})

    async def show_live(_: Request) -> Response:
        stopped = list(live())
        return JSONResponse({"live": not stopped, "stopped": stopped}, 503 if stopped else 200)

    async def show_ready(_: Request) -> Response:
        state = await ready()
        checks = {name: {"ok": check.ok, "reason": check.reason} for name, check in state.checks.items()}
        return JSONResponse({"ready": state.ready, "checks": checks}, 200 if state.ready else 503)

    async def list_jobs(request: Request) -> Response:
        return JSONResponse(list(await jobs(job_query(request.query_params))))

    return Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/livez", show_live),
            Route("/readyz", show_ready),
            Route("/api/v1/jobs", list_jobs),
        ],
        exception_handlers={BadQuery: _complain(400), ImageferryError: _complain(503)},
    )


def _complain(status: int) -> Callable[[Request, Exception], Response]:
    def answer(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status)

    return answer


def job_query(params: QueryParams) -> JobFilter:
    """Read the filters of a job list.

    :raises BadQuery: one is unknown, given twice, or has a value that can match nothing.
    """
    for name in params:
        if name not in JobFilter._fields:
            raise BadQuery(f"unknown filter {name!r}; expected one of {', '.join(JobFilter._fields)}")
        if len(params.getlist(name)) > 1:
            raise BadQuery(f"filter {name!r} is given more than once")
        if not params[name]:
            raise BadQuery(f"filter {name!r} is empty; leave it out to see everything")
    return JobFilter(
        state=_one_of("state", params.get("state"), STATES),
        cloud=_one_of("cloud", params.get("cloud"), CLOUD_NAMES),
        account=params.get("account"),
        image=params.get("image"),
        policy=params.get("policy"),
        limit=_count("limit", params.get("limit")),
    )


def _one_of(name: str, value: str | None, known: Sequence[str]) -> str | None:
    if value is not None and value not in known:
        raise BadQuery(f"{name} {value!r} is unknown; expected one of {', '.join(known)}")
    return value


_COUNT_DIGITS: Final = 9


def _count(name: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= _COUNT_DIGITS and int(value)):
        raise BadQuery(f"{name} {value!r} is not a whole number from 1")
    return int(value)
