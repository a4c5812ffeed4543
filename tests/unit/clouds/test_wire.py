from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from imageferry.clouds import wire as wire_module
from imageferry.clouds.wire import EACH, Reply, Request, Told, VendorTime, Wire, http_date
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.clocks import FakeClock
from support.sockets import OK, Peer, Server, listening, obliging, silent


@asynccontextmanager
async def wired(clock: FakeClock | None = None, metrics: Metrics | None = None) -> AsyncIterator[Wire]:
    wire = Wire(tencent_account(), clock or FakeClock(), metrics or Metrics())
    try:
        yield wire
    finally:
        await wire.aclose()


def post(server: Server, path: str = "/", **more: Any) -> Request:
    host = server.url.removeprefix("http://")
    return Request("DescribeImages", "POST", server.url + path, {"Host": host}, b'{"a":1}', **more)


def taken(reply: Reply) -> Told:
    return Told(Answer("ok", "", request_id="r-1"), {}, reply)


async def ask(wire: Wire, request: Request, pool: str = "lane") -> Told:
    return await wire.ask(pool, request, taken)


async def test_the_path_and_the_body_are_sent_to_the_byte() -> None:
    async with listening(obliging) as server, wired() as wire:
        told = await ask(wire, post(server, "/b//a%2Bb+c%7E~'(1)<x>`"))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert (head.splitlines()[0], body) == (b"POST /b//a%2Bb+c%7E~'(1)<x>` HTTP/1.1", b'{"a":1}')
    assert told.reply is not None
    assert (told.reply.status, told.reply.body) == (200, b"ok")


async def test_a_header_is_sent_once_and_as_it_was_signed() -> None:
    async with listening(obliging) as server, wired() as wire:
        await ask(wire, Request("X", "POST", server.url + "/", {"Host": "signed.example", "Content-Type": "x/y"}))
    lines = server.requests[0].lower().split(b"\r\n")
    assert [line for line in lines if line.startswith((b"host:", b"content-type:"))] == [
        b"host: signed.example",
        b"content-type: x/y",
    ]


async def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    async with listening(obliging) as server:
        pass
    async with wired() as wire:
        told = await ask(wire, post(server))
    assert told.answer.klass == "never_sent"


async def test_a_failed_tls_handshake_proves_that_nothing_was_sent() -> None:
    async def no_tls(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.answer(b"this is no TLS\r\n")

    async with listening(no_tls) as server, wired() as wire:
        told = await ask(wire, Request("X", "POST", server.url.replace("http:", "https:") + "/", {}, b"{}"))
    assert told.answer.klass == "never_sent"


async def test_a_connection_that_closes_without_an_answer_leaves_it_open_and_nothing_is_sent_again() -> None:
    async def dropping(peer: Peer) -> None:
        await peer.request()

    async with listening(dropping) as server, wired() as wire:
        told = await ask(wire, post(server))
    assert (told.answer.klass, len(server.requests), told.reply) == ("unanswered", 1, None)


async def test_half_an_answer_leaves_it_open() -> None:
    async def halving(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

    async with listening(halving) as server, wired() as wire:
        told = await ask(wire, post(server))
    assert (told.answer.klass, len(server.requests)) == ("unanswered", 1)


async def test_no_answer_until_the_deadline_leaves_it_open() -> None:
    async with listening(silent) as server, wired() as wire:
        told = await ask(wire, post(server, deadline=0.05))
    assert told.answer == Answer("unanswered", "no answer within 0.05 s")


async def test_the_deadline_is_for_the_whole_answer_however_steadily_it_drips() -> None:
    async def dripping(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while not peer.writer.is_closing():
            await peer.answer(b".")
            await asyncio.sleep(0)

    async with listening(dripping) as server, wired() as wire:
        told = await ask(wire, post(server, deadline=0.1))
    assert told.answer == Answer("unanswered", "no answer within 0.1 s")


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "LARGEST", 10)

    async def long(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n12345678901")

    async with listening(long) as server, wired() as wire:
        told = await ask(wire, post(server))
    assert told.answer.klass == "unanswered"
    assert "longer than 10 bytes" in told.answer.message


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def redirecting(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")

    async with listening(redirecting) as server, wired() as wire:
        told = await ask(wire, post(server))
    assert told.reply is not None
    assert (told.reply.status, len(server.requests)) == (307, 1)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listening(obliging) as server, wired() as wire:
        assert (await ask(wire, post(server))).answer.klass == "ok"


async def test_connections_are_kept_for_the_next_request() -> None:
    async with listening(obliging) as server, wired() as wire:
        for _ in range(5):
            await ask(wire, post(server))
    assert (len(server.requests), server.connections) == (5, 1)


async def test_a_connection_that_the_server_closed_meanwhile_loses_no_submit() -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.answer()

    async with listening(once) as server, wired() as wire:
        for _ in range(3):
            server.closed.clear()
            assert (await ask(wire, post(server))).answer.klass == "ok"
            await server.closed.wait()
    assert (len(server.requests), server.connections) == (3, 3)


async def test_many_requests_at_once_are_all_under_way_in_small_clients() -> None:
    there = asyncio.Semaphore(0)
    go = asyncio.Event()

    async def gathering(peer: Peer) -> None:
        while await peer.request() is not None:
            there.release()
            await go.wait()
            await peer.answer()

    many = 5 * EACH
    async with listening(gathering) as server, wired() as wire, anyio.create_task_group() as group:
        for _ in range(many):
            group.start_soon(ask, wire, post(server))
        for _ in range(many):
            await there.acquire()
        pool = wire._pools["lane"]
        assert (server.connections, len(pool._clients)) == (many, 5)
        go.set()


async def test_a_lane_that_hangs_does_not_hold_up_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "MOST", 2)
    async with (
        listening(silent) as hung,
        listening(obliging) as well,
        wired() as wire,
        anyio.create_task_group() as group,
    ):
        for _ in range(4):
            group.start_soon(ask, wire, post(hung), "slow")
        await hung.until_heard(2)
        told = await ask(wire, post(well), "fast")
        group.cancel_scope.cancel()
    assert (told.answer.klass, len(hung.requests)) == ("ok", 2)


async def test_a_request_that_found_no_room_in_time_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "MOST", 1)
    async with listening(silent) as hung, wired() as wire, anyio.create_task_group() as group:
        group.start_soon(ask, wire, post(hung))
        await hung.until_heard()
        told = await ask(wire, post(hung, deadline=0.05))
        group.cancel_scope.cancel()
    assert (told.answer.klass, len(hung.requests)) == ("never_sent", 1)


async def test_cancellation_passes_through_and_frees_the_connection() -> None:
    async with listening(silent) as hung, wired() as wire:
        task = asyncio.create_task(ask(wire, post(hung)))
        await hung.until_heard()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        pool = wire._pools["lane"]
        assert (pool._busy, pool.room.borrowed_tokens) == ([0], 0)


async def test_every_request_is_counted_by_its_class_and_timed() -> None:
    metrics, clock = Metrics(), FakeClock()

    async def slow(peer: Peer) -> None:
        while await peer.request() is not None:
            clock.jump(2.0)
            await peer.answer()

    def throttled(reply: Reply) -> Told:
        return Told(Answer("throttled", "slow down", "RequestLimitExceeded", "r-9"), {}, reply)

    async with listening(slow) as server, wired(clock, metrics) as wire:
        await wire.ask("lane", post(server), throttled)
    labels = {"cloud": "tencent", "account": "prod", "api": "DescribeImages", "class": "throttled"}
    value = metrics.registry.get_sample_value
    assert value("imageferry_requests_total", labels) == 1
    timed = {"cloud": "tencent", "api": "DescribeImages"}
    assert value("imageferry_request_duration_seconds_sum", timed) == 2.0


async def test_the_log_line_tells_code_and_request_id_but_no_header_and_no_body() -> None:
    def refused(reply: Reply) -> Told:
        return Told(Answer("auth", "no", "AuthFailure.SignatureFailure", "r-9"), {}, reply)

    async with listening(obliging) as server, wired() as wire:
        request = Request("X", "POST", server.url + "/", {"Authorization": "top-secret"}, b"secret-body")
        with capture_logs() as lines:
            await wire.ask("lane", request, refused)
    assert lines == [
        {
            "event": "vendor request",
            "log_level": "info",
            "account": "prod",
            "api": "X",
            "class": "auth",
            "vendor_code": "AuthFailure.SignatureFailure",
            "request_id": "r-9",
            "seconds": 0.0,
        }
    ]
    assert "secret" not in repr(request)


def test_a_request_shows_nothing_of_an_address_that_may_hold_a_token() -> None:
    assert "hidden" not in repr(Request("AssumeRoleWithOIDC", "GET", "https://sts.example/?OIDCToken=hidden", {}))


async def test_an_answer_over_a_reused_connection_keeps_its_own_times() -> None:
    clock = FakeClock()

    async def slow(peer: Peer) -> None:
        while await peer.request() is not None:
            clock.jump(1.5)
            await peer.answer(OK)

    async with listening(slow) as server, wired(clock) as wire:
        replies = [(await ask(wire, post(server))).reply for _ in range(2)]
    assert [r.received_at - r.sent_at for r in replies if r] == [1_500_000, 1_500_000]


# --- the vendor's clock ---------------------------------------------------------------------------------------------

NOON = 1_767_268_800 * SECOND
"""2026-01-01T12:00:00Z."""


def dated(ahead: float, *, sent_at: int = NOON, took: float = 0.1) -> Reply:
    """A reply whose Date was stamped, in the middle of its way, by a clock that is ``ahead``."""
    received_at = sent_at + int(took * SECOND)
    stamp = (sent_at + received_at) // 2 + int(ahead * SECOND)
    hours, rest = divmod(stamp // SECOND - NOON // SECOND + 12 * 3600, 3600)
    text = f"Thu, 01 Jan 2026 {hours:02}:{rest // 60:02}:{rest % 60:02} GMT"
    return Reply(200, {"date": text}, b"", sent_at, received_at)


def test_clocks_that_agree_are_left_alone() -> None:
    time = VendorTime()
    for step in range(20):
        time.learn(dated(0.0, sent_at=NOON + step * 137_000))
    assert time.at(NOON) == NOON


def test_a_small_difference_is_learned_to_within_a_second() -> None:
    time = VendorTime()
    for step in range(20):
        time.learn(dated(7.0, sent_at=NOON + step * 137_000))
    assert abs(time.at(NOON) - (NOON + 7 * SECOND)) < SECOND // 2


def test_one_strange_date_is_not_believed() -> None:
    time = VendorTime()
    time.learn(dated(400.0))
    assert time.at(NOON) == NOON


def test_a_strange_date_that_is_said_twice_is_believed() -> None:
    time = VendorTime()
    time.learn(dated(400.0))
    time.learn(dated(400.0))
    assert abs(time.at(0) - 400 * SECOND) <= SECOND


def test_a_strange_date_is_believed_at_once_when_the_vendor_complains() -> None:
    time = VendorTime()
    time.learn(dated(-400.0), complained=True)
    assert abs(time.at(0) + 400 * SECOND) <= SECOND


def test_an_answer_that_took_long_tells_nothing() -> None:
    time = VendorTime()
    time.learn(dated(20.0, took=6.0))
    assert time.at(0) == 0


@pytest.mark.parametrize("text", ["", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_what_is_no_date_is_no_time(text: str) -> None:
    assert http_date(text) is None


def test_a_date_of_http_is_microseconds() -> None:
    assert http_date("Thu, 01 Jan 2026 12:00:00 GMT") == NOON
