"""The clouds' only HTTP client: sends exactly the bytes it is given, once, and tells what can be proved of the rest.

The adapters, ``objects`` and ``credentials`` call it. It never follows a redirect, never sends anything twice, reads no
proxy from the environment, signs nothing and knows no vendor's codes: the caller's ``read`` judges every reply.

Each pool is made of several small clients. A connection pool of httpcore looks at all its connections, for each idle
one again, whenever a request comes or goes; measured on loopback one client did 1,500 requests/s with one connection,
550 with 20, 280 with 40 and 85 with 100. Clients of 8 connections each do 1,480 at 40 at once and 1,150 at 100.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from ssl import SSLContext
from typing import Any, Final, NamedTuple

import anyio
import httpx
import structlog

from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.ports import Clock
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import scrub

EACH: Final = 8
"""Connections of one client."""
MOST: Final = 400
"""Requests of one pool at once; more wait within their deadline."""
KEPT: Final = 15.0
"""Seconds an idle connection is kept. A connection that the server closed in the same moment would turn a submit into
a doubt, so ours end first: servers keep theirs for a minute or so."""
CONNECT_SHARE: Final = 0.4
"""Of the deadline, for TCP and once more for TLS; both fit, so that a failure to connect is known as one."""
LARGEST: Final = 8 << 20
"""Bytes of a reply's body; a hundred images are about 100 KiB."""
LONGEST_MESSAGE: Final = 500

_AGENT: Final = f"imageferry/{version('imageferry')}"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, to the byte. ``url`` is the whole text; its path and query are sent as they are written."""

    api: str
    """The vendor's name of what is asked, for metrics and logs."""
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    deadline: float | None = None
    """Seconds in all; None: the account's ``timeouts.request``."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever its status. Header names are lower case; times are microseconds by our clock."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: int
    received_at: int


class Told(NamedTuple):
    """How a request ended: its answer's class and words, and what the reply held for the one who asked."""

    answer: Answer
    content: Mapping[str, Any] = {}
    reply: Reply | None = None


Read = Callable[[Reply], Told]
"""Judges a reply; runs before metrics and log, which tell the class it finds."""


class Wire:
    """One account's connections, by pool: a lane of its image API, its storage, its credentials."""

    def __init__(self, account: Account, clock: Clock, metrics: Metrics) -> None:
        self._account = account
        self._clock = clock
        self._metrics = metrics
        self._pools: dict[str, _Pool] = {}

    async def ask(self, pool: str, request: Request, read: Read) -> Told:
        """Send one request and let ``read`` judge what comes back.

        An answer of class ``never_sent`` proves that nothing left; ``unanswered`` proves nothing. ``read`` is not
        asked for those two.
        """
        begun = self._clock.monotonic()
        got = await self._exchange(self._pool(pool), request)
        told = Told(got) if isinstance(got, Answer) else read(got)
        self._note(request.api, told.answer, self._clock.monotonic() - begun)
        return told

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    async def _exchange(self, pool: _Pool, request: Request) -> Reply | Answer:
        seconds = self._account.timeouts.request if request.deadline is None else request.deadline
        left = False
        try:
            with anyio.fail_after(seconds):
                async with pool.room:
                    left = True
                    return await self._send(pool, request, seconds)
        except TimeoutError:
            return Answer("unanswered" if left else "never_sent", f"no answer within {seconds:g} s")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer("never_sent", f"no connection to {_host(request)}: {_why(error)}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer("unanswered", f"the connection to {_host(request)} failed: {_why(error)}")

    async def _send(self, pool: _Pool, request: Request, seconds: float) -> Reply | Answer:
        asked = _httpx_request(request, seconds)
        sent_at = self._clock.now()
        with pool.client() as client:
            response = await client.send(asked, stream=True, follow_redirects=False)
            try:
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > LARGEST:
                        return Answer("unanswered", f"the answer of {_host(request)} is longer than {LARGEST} bytes")
            finally:
                await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, headers, bytes(body), sent_at, self._clock.now())

    def _pool(self, name: str) -> _Pool:
        if name not in self._pools:
            self._pools[name] = _Pool(self._client)
        return self._pools[name]

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=EACH, max_keepalive_connections=EACH, keepalive_expiry=KEPT)
        return httpx.AsyncClient(verify=_trust(), limits=limits, trust_env=False)

    def _note(self, api: str, answer: Answer, seconds: float) -> None:
        account = self._account
        labels = {"cloud": account.cloud, "account": account.name, "api": api, "class": answer.klass}
        self._metrics.requests_total.labels(**labels).inc()
        self._metrics.request_duration_seconds.labels(cloud=account.cloud, api=api).observe(seconds)
        say = log.debug if answer.klass == "ok" else log.info
        say(
            "vendor request",
            account=account.name,
            api=api,
            vendor_code=answer.vendor_code,
            request_id=answer.request_id,
            seconds=round(seconds, 3),
            **{"class": answer.klass},
        )


@cache
def _trust() -> SSLContext:
    """Whose certificates are believed: the same for every account, and slow to read."""
    return httpx.create_ssl_context()


class _Pool:
    """Small clients, made as they are needed; the first with room is taken, so that the last ones fall idle."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self.room = anyio.CapacityLimiter(MOST)
        self._make = make
        self._clients: list[httpx.AsyncClient] = []
        self._busy: list[int] = []

    @contextmanager
    def client(self) -> Iterator[httpx.AsyncClient]:
        """A client that has a connection to spare; its pool never has to make a request wait."""
        place = next((i for i, busy in enumerate(self._busy) if busy < EACH), len(self._busy))
        if place == len(self._busy):
            self._clients.append(self._make())
            self._busy.append(0)
        self._busy[place] += 1
        try:
            yield self._clients[place]
        finally:
            self._busy[place] -= 1

    async def aclose(self) -> None:
        """Close every client."""
        for client in self._clients:
            await client.aclose()


class VendorTime:
    """The vendor's clock, as the Date headers of its answers tell it.

    A Date is a whole second, stamped at some moment between sending and receiving: it bounds the offset from both
    sides, and the estimate moves only as far as the bounds make it. A jump is believed when two answers in a row say
    so, or when the vendor itself complains of the time.
    """

    SLOW: Final = 5 * SECOND
    """Answers that took longer say too little."""
    JUMP: Final = 30 * SECOND

    def __init__(self) -> None:
        self._offset = 0
        self._unconfirmed: int | None = None

    def at(self, now: int) -> int:
        """Our time ``now`` by the vendor's clock."""
        return now + self._offset

    def learn(self, reply: Reply, *, complained: bool = False) -> None:
        """Take a reply's Date into account."""
        date = http_date(reply.headers.get("date", ""))
        if date is None or reply.received_at - reply.sent_at > self.SLOW:
            return
        told = min(max(self._offset, date - reply.received_at), date + SECOND - reply.sent_at)
        if complained or abs(told - self._offset) <= self.JUMP or self._confirms(told):
            self._offset, self._unconfirmed = told, None
        else:
            self._unconfirmed = told

    def _confirms(self, told: int) -> bool:
        return self._unconfirmed is not None and abs(told - self._unconfirmed) <= self.JUMP


def http_date(text: str) -> int | None:
    """Microseconds UTC of a date as HTTP headers write it; None where it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * SECOND


def foreign(text: str) -> str:
    """A vendor's words, fit for an error or the ledger: without secrets, and not endless."""
    return scrub(text)[:LONGEST_MESSAGE]


def _httpx_request(request: Request, seconds: float) -> httpx.Request:
    """Made by hand, so that no client adds or rewrites anything that was signed."""
    url = httpx.URL(request.url)
    origin, _, rest = request.url.partition("://")
    target = f"/{rest.partition('/')[2]}" if origin else url.path
    timeout = httpx.Timeout(seconds, connect=seconds * CONNECT_SHARE)
    return httpx.Request(
        request.method,
        url,
        headers={"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **request.headers},
        content=request.body or None,
        extensions={"target": target.encode("ascii"), "timeout": timeout.as_dict()},
    )


def _host(request: Request) -> str:
    return request.url.partition("://")[2].partition("/")[0]


def _why(error: Exception) -> str:
    return foreign(str(error)) or type(error).__name__
