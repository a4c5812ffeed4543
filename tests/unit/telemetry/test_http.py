from __future__ import annotations

import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from imageferry.core.job import JobFilter
from imageferry.core.machine import STATES
from imageferry.errors import LedgerError
from imageferry.telemetry.http import Check, ListenFailed, Readiness, ops_app, serving
from imageferry.telemetry.metrics import Metrics


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", hello)])


class Waiting:
    """An app whose one page answers when it is told to."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.release = anyio.Event()
        self.app = Starlette(routes=[Route("/", self.page)])

    async def page(self, _: Request) -> Response:
        self.entered.set()
        await self.release.wait()
        return PlainTextResponse("late but whole")


async def get(address: tuple[str, int]) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://{address[0]}:{address[1]}/")


def refuses(address: tuple[str, int]) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(address) != 0


# --- serving ---


async def test_port_zero_takes_a_free_port_and_says_which() -> None:
    async with serving(APP, "127.0.0.1", 0) as address:
        answer = await get(address)
    assert (address[0], answer.text) == ("127.0.0.1", "hello")


async def test_the_port_is_closed_when_the_block_ends() -> None:
    async with serving(APP, "127.0.0.1", 0) as address:
        await get(address)
    assert refuses(address)


async def test_the_port_is_closed_when_the_block_is_cancelled() -> None:
    with anyio.CancelScope() as scope:
        async with serving(APP, "127.0.0.1", 0) as address:
            scope.cancel()
            await anyio.sleep_forever()
    assert (scope.cancelled_caught, refuses(address)) == (True, True)


async def test_a_port_can_be_served_again_at_once() -> None:
    async with serving(APP, "127.0.0.1", 0) as address:
        await get(address)
    async with serving(APP, *address) as again:
        answer = await get(again)
    assert (again, answer.text) == (address, "hello")


async def test_an_address_in_use_is_a_clear_error() -> None:
    async with serving(APP, "127.0.0.1", 0) as (host, port):
        with pytest.raises(ListenFailed) as failed:
            async with serving(APP, host, port):
                pass
    assert str(failed.value) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; give another address, or stop what holds this "
        "one (port 0 takes a free port)"
    )


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 70_000), ("127.0.0.1", -1), ("300.1.1.1.invalid", 0), ("192.0.2.1", 0)]
)
async def test_an_address_that_cannot_be_bound_is_named(host: str, port: int) -> None:
    with pytest.raises(ListenFailed) as failed:
        async with serving(APP, host, port):
            pass
    assert str(failed.value).startswith(f"cannot listen on {host}:{port}: ")


async def test_an_error_of_the_block_passes_through_unwrapped() -> None:
    with pytest.raises(LedgerError, match=r"^disk full$"):
        async with serving(APP, "127.0.0.1", 0):
            raise LedgerError("disk full")


async def test_a_request_in_flight_gets_its_answer_after_the_block_has_ended() -> None:
    site, answers = Waiting(), []

    async def ask(address: tuple[str, int]) -> None:
        answers.append((await get(address)).text)

    async def release_once_closed(address: tuple[str, int]) -> None:
        while not refuses(address):
            await checkpoint()
        site.release.set()

    async with anyio.create_task_group() as tasks, serving(site.app, "127.0.0.1", 0) as address:
        tasks.start_soon(ask, address)
        await site.entered.wait()
        tasks.start_soon(release_once_closed, address)
    assert answers == ["late but whole"]


async def test_a_request_that_outlasts_the_drain_is_cut_off() -> None:
    site, failures = Waiting(), []

    async def ask(address: tuple[str, int]) -> None:
        try:
            answer = await get(address)
        except httpx.TransportError as error:
            failures.append(type(error).__name__)
        else:
            failures.append(str(answer.status_code))

    async with anyio.create_task_group() as tasks, serving(site.app, "127.0.0.1", 0, drain=0) as address:
        tasks.start_soon(ask, address)
        await site.entered.wait()
    assert failures in (["RemoteProtocolError"], ["ReadError"])


async def test_signals_stay_with_the_app() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(APP, "127.0.0.1", 0):
        within = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert within == before


# --- the ops listener ---

WELL = Readiness(ready=True, checks={"ledger": Check(ok=True, reason="open"), "policies": Check(ok=True, reason="3")})


class Ops:
    """The ops app over made-up parts that a test may change."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.readiness = WELL
        self.stopped: list[str] = []
        self.asked: list[JobFilter] = []
        self.failure: Exception | None = None

    async def jobs(self, query: JobFilter) -> Sequence[Mapping[str, Any]]:
        if self.failure:
            raise self.failure
        self.asked.append(query)
        return [{"id": "abc", "state": "running"}]

    async def ready(self) -> Readiness:
        return self.readiness

    async def get(self, path: str) -> httpx.Response:
        app = ops_app(self.metrics, self.ready, lambda: self.stopped, self.jobs)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ops", trust_env=False) as client:
            return await client.get(path)


async def test_livez_is_200_while_every_loop_moves() -> None:
    answer = await Ops().get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"live": True, "stopped": []})


async def test_livez_is_503_and_names_the_loops_that_stopped() -> None:
    ops = Ops()
    ops.stopped = ["submit"]
    answer = await ops.get("/livez")
    assert (answer.status_code, answer.json()) == (503, {"live": False, "stopped": ["submit"]})


async def test_readyz_is_200_with_every_check() -> None:
    answer = await Ops().get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "checks": {"ledger": {"ok": True, "reason": "open"}, "policies": {"ok": True, "reason": "3"}}},
    )


async def test_readyz_is_503_with_the_reason() -> None:
    ops = Ops()
    ops.readiness = Readiness(ready=False, checks={"account prod": Check(ok=False, reason="signature refused")})
    answer = await ops.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        503,
        {"ready": False, "checks": {"account prod": {"ok": False, "reason": "signature refused"}}},
    )


async def test_metrics_are_shown_as_prometheus_text() -> None:
    ops = Ops()
    ops.metrics.outbox_pending.set(7)
    answer = await ops.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nimageferry_outbox_pending 7.0\n" in answer.text


async def test_jobs_are_listed_without_a_filter() -> None:
    ops = Ops()
    answer = await ops.get("/api/v1/jobs")
    assert (answer.status_code, answer.json(), ops.asked) == (200, [{"id": "abc", "state": "running"}], [JobFilter()])


async def test_every_filter_reaches_the_ledger() -> None:
    ops = Ops()
    await ops.get("/api/v1/jobs?state=failed&cloud=tencent&account=prod&image=img-1&policy=dr%20east&limit=20")
    assert ops.asked == [JobFilter("failed", "tencent", "prod", "img-1", "dr east", 20)]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("status=failed", "unknown filter 'status'; expected one of state, cloud, account, image, policy, limit"),
        (
            "state=done",
            f"state 'done' is unknown; expected one of {', '.join(STATES)}",
        ),
        ("cloud=aws", "cloud 'aws' is unknown; expected one of tencent, aliyun, huawei, jdcloud"),
        ("state=failed&state=running", "filter 'state' is given more than once"),
        ("account=", "filter 'account' is empty; leave it out to see everything"),
        ("limit=0", "limit '0' is not a whole number from 1"),
        ("limit=-3", "limit '-3' is not a whole number from 1"),
        ("limit=many", "limit 'many' is not a whole number from 1"),
        ("limit=%C2%B2", "limit '²' is not a whole number from 1"),
        ("limit=99999999999999999999", "limit '99999999999999999999' is not a whole number from 1"),
    ],
)
async def test_a_bad_filter_is_400_with_its_reason(query: str, reason: str) -> None:
    ops = Ops()
    answer = await ops.get(f"/api/v1/jobs?{query}")
    assert (answer.status_code, answer.json(), ops.asked) == (400, {"error": reason}, [])


async def test_a_ledger_that_cannot_be_read_is_503_with_its_reason() -> None:
    ops = Ops()
    ops.failure = LedgerError("disk full")
    answer = await ops.get("/api/v1/jobs")
    assert (answer.status_code, answer.json()) == (503, {"error": "disk full"})


async def test_the_ops_listener_only_reads() -> None:
    ops = Ops()
    transport = httpx.ASGITransport(app=ops_app(ops.metrics, ops.ready, list, ops.jobs))
    async with httpx.AsyncClient(transport=transport, base_url="http://ops", trust_env=False) as client:
        codes = [(await client.post(path)).status_code for path in ("/metrics", "/livez", "/readyz", "/api/v1/jobs")]
    assert codes == [405] * 4
