"""The machine's clock, and the clock that tests use in its place."""

from __future__ import annotations

import time

import anyio
import pytest

from imageferry.ports import Clock
from imageferry.telemetry.clock import SystemClock
from support.clocks import START, FakeClock

BOTH: list[Clock] = [SystemClock(), FakeClock()]


def test_the_wall_clock_is_in_microseconds() -> None:
    before = time.time() * 1_000_000
    now = SystemClock().now()
    assert before - 1000 <= now <= time.time() * 1_000_000 + 1000


def test_the_monotonic_clock_is_the_one_systemd_compares() -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert before <= SystemClock().monotonic() <= time.clock_gettime(time.CLOCK_MONOTONIC)


@pytest.mark.parametrize("clock", BOTH, ids=["system", "fake"])
@pytest.mark.parametrize("seconds", [0, -5])
async def test_sleeping_no_time_only_yields(clock: Clock, seconds: float) -> None:
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await clock.sleep(seconds)
        seen.append("sleeper")
    assert seen == ["other", "sleeper"]


async def test_a_fake_clock_wakes_sleepers_in_the_order_of_their_deadlines() -> None:
    clock, woken = FakeClock(), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.now() - START))

    async with anyio.create_task_group() as tasks:
        for seconds in (3, 1, 2):
            tasks.start_soon(sleeper, seconds)
        await clock.until_sleeping(3)
        await clock.advance(10)
    assert woken == [(1, 1_000_000), (2, 2_000_000), (3, 3_000_000)]


async def test_a_loop_sleeps_as_often_as_time_allows() -> None:
    clock, turns = FakeClock(), []

    async def loop() -> None:
        while True:
            await clock.sleep(2)
            turns.append(clock.monotonic())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(loop)
        await clock.advance(7)
        tasks.cancel_scope.cancel()
    assert (turns, clock.monotonic()) == ([1002, 1004, 1006], 1007)


async def test_a_stall_moves_time_before_anyone_runs() -> None:
    clock, woken = FakeClock(), []

    async def sleeper() -> None:
        await clock.sleep(1)
        woken.append(clock.monotonic())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper)
        await clock.until_sleeping()
        clock.jump(60)
        assert woken == []
    assert woken == [1060]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 5)
        await clock.until_sleeping()
        tasks.cancel_scope.cancel()
    assert clock.sleeping == 0


async def test_the_next_deadline_is_reached_in_one_step() -> None:
    clock = FakeClock()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 42)
        assert await clock.next() == 42
