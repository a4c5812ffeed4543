"""Lanes: every request waits for its own lane's pace, answers teach it, and one lane never holds up another."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from imageferry.core.answers import Answer
from imageferry.core.facts import KindLimit, LaneKind
from imageferry.errors import CircuitOpen
from imageferry.flow.lanes import Lanes
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.clocks import FakeClock

EVERYWHERE = "http://127.0.0.1:9"
BY_REGION = "http://{region}.test"
TEN = {"export": KindLimit(10), "copy": KindLimit(10), "read": KindLimit(10)}


def lanes(clock: FakeClock, metrics: Metrics | None = None, **changes: Any) -> Lanes:
    """Lanes of an account whose keys are proven."""
    made = Lanes(tencent_account(**{"endpoint": BY_REGION, "limits": TEN, **changes}), clock, metrics or Metrics())
    made.circuit.judge(Answer("ok", ""))
    return made


async def sending(
    made: Lanes, clock: FakeClock, count: int, *, region: str = "ap-guangzhou", kind: LaneKind = "export"
) -> list[float]:
    """When each of so many requests left, in seconds of the clock."""
    sent: list[float] = []

    async def one() -> None:
        async with made.enter(region, kind):
            sent.append(clock.monotonic())

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
        while len(sent) < count:
            await clock.settle()
            if len(sent) < count:
                await clock.next()
    return sent


async def test_requests_of_a_lane_are_spaced_a_little_wider_than_its_rate() -> None:
    clock = FakeClock()
    sent = await sending(lanes(clock), clock, 11)
    assert sent[-1] - sent[0] == pytest.approx(10 / (10 * 0.97))


async def test_a_new_process_starts_without_credit() -> None:
    """After a restart the pace starts without credit."""
    clock = FakeClock()
    [first] = await sending(lanes(clock), clock, 1)
    assert first - 1000.0 == pytest.approx(1 / 9.7)


async def test_after_a_stall_nothing_is_made_up_for() -> None:
    """After a stall the pace starts without credit."""
    clock = FakeClock()
    made = lanes(clock)
    sent: list[float] = []

    async def one() -> None:
        async with made.enter("ap-guangzhou", "export"):
            sent.append(clock.monotonic())

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(one)
        await clock.until_sleeping(10)
        clock.jump(60)
        await clock.settle()
        assert sent == [1060.0]
        while len(sent) < 10:
            await clock.next()
    assert sent[-1] - sent[0] == pytest.approx(9 / 9.7)


@pytest.mark.parametrize(
    ("endpoint", "together"), [(EVERYWHERE, True), (BY_REGION, False)], ids=["one host", "a host for each region"]
)
async def test_requests_are_counted_where_the_vendor_counts_them(endpoint: str, together: bool) -> None:  # noqa: FBT001 - a table's column
    made = lanes(FakeClock(), endpoint=endpoint)
    assert (made.pace("ap-guangzhou", "export") is made.pace("ap-shanghai", "export")) is together


async def test_each_kind_of_request_has_a_pace_of_its_own() -> None:
    made = lanes(FakeClock())
    paces = [made.pace("ap-guangzhou", kind) for kind in ("export", "copy", "read")]
    assert len({id(pace) for pace in paces}) == 3


async def test_a_throttled_answer_halves_the_rate_which_climbs_back() -> None:
    clock = FakeClock()
    made = lanes(clock)
    async with anyio.create_task_group() as group:
        group.start_soon(_throttled, made)
        await clock.next()
    assert made.pace("ap-guangzhou", "export").rate() == 5
    clock.jump(10)
    assert made.pace("ap-guangzhou", "export").rate() == 10


async def _throttled(made: Lanes) -> None:
    async with made.enter("ap-guangzhou", "export") as permit:
        permit.judged(Answer("throttled", "too fast"))


async def test_who_waited_for_the_pace_is_not_sent_once_the_account_is_closed_off() -> None:
    clock = FakeClock()
    made = lanes(clock)
    refused: list[str] = []

    async def one() -> None:
        try:
            async with made.enter("ap-guangzhou", "export"):
                raise AssertionError
        except CircuitOpen as error:
            refused.append(error.account)

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        await clock.until_sleeping()
        made.circuit.judge(Answer("auth", "bad signature"))
        await clock.next()
    assert refused == ["prod"]


async def test_a_slot_that_is_given_up_by_a_cancelled_request_blocks_nobody() -> None:
    clock = FakeClock()
    made = lanes(clock)
    async with anyio.create_task_group() as group:
        group.start_soon(_throttled, made)
        await clock.until_sleeping()
        group.cancel_scope.cancel()
    assert len(await sending(made, clock, 2)) == 2


@pytest.mark.parametrize(("scope", "shared"), [("account", True), ("region", False)])
async def test_running_tasks_are_counted_over_the_limits_scope(scope: Any, shared: bool) -> None:  # noqa: FBT001 - a table's column
    limits = {**TEN, "copy": KindLimit(10, running=5, scope=scope)}
    made = lanes(FakeClock(), limits=limits)
    assert (made.running("ap-guangzhou", "copy") is made.running("ap-shanghai", "copy")) is shared


async def test_the_lanes_gauges_tell_rate_running_and_limit() -> None:
    clock = FakeClock()
    metrics = Metrics()
    made = lanes(clock, metrics, limits={**TEN, "export": KindLimit(10, running=5)})
    await sending(made, clock, 1)
    made.show("ap-guangzhou", {"export": 3, "copy": 0})
    text = metrics.exposition().decode()
    here = 'account="prod",action="{}",cloud="tencent",region="ap-guangzhou"'
    assert f"imageferry_lane_rate_limit{{{here.format('read')}}} 10.0" in text
    assert f"imageferry_lane_running{{{here.format('export')}}} 3.0" in text
    assert f"imageferry_lane_running_limit{{{here.format('export')}}} 5.0" in text
    assert f"imageferry_lane_running_limit{{{here.format('copy')}}} +Inf" in text
    assert f"imageferry_lane_wait_seconds_count{{{here.format('export')}}} 1.0" in text
