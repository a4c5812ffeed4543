"""Bells and loops: nothing is missed that rings while nobody listens, and every loop ends when stopping is said."""

from __future__ import annotations

import anyio

from imageferry.flow.drive import LONGEST_REST, Bell, Stopping, drive
from support.clocks import FakeClock


async def test_a_ring_while_nobody_listens_is_remembered_once() -> None:
    clock = FakeClock()
    bell = Bell(clock)
    bell.ring()
    bell.ring()
    await bell.rest(60.0)
    async with anyio.create_task_group() as group:
        group.start_soon(bell.rest, 60.0)
        await clock.until_sleeping()
        bell.ring()
    assert clock.sleeping == 0


async def test_a_rest_ends_by_itself() -> None:
    clock = FakeClock()
    async with anyio.create_task_group() as group:
        group.start_soon(Bell(clock).rest, 3.0)
        await clock.until_sleeping()
        await clock.advance(3.0)
    assert clock.sleeping == 0


async def test_a_loop_steps_again_at_once_for_zero_and_rests_at_most_the_longest() -> None:
    clock = FakeClock()
    stopping = Stopping()
    waits = iter([0.0, 0.0, float("inf")])
    steps: list[float] = []

    async def step() -> float:
        steps.append(clock.monotonic())
        return next(waits, float("inf"))

    async with anyio.create_task_group() as group:
        bell = stopping.bell(clock)
        start = clock.monotonic()
        group.start_soon(lambda: drive(step, bell=bell, stopping=stopping, beat=lambda: None))
        await clock.until_sleeping()
        await clock.advance(LONGEST_REST)
        await clock.until_sleeping()
        stopping.say()
    assert steps == [start, start, start, start + LONGEST_REST]


async def test_stopping_wakes_a_resting_loop_and_no_step_follows() -> None:
    clock = FakeClock()
    stopping = Stopping()
    steps = 0

    async def step() -> float:
        nonlocal steps
        steps += 1
        return float("inf")

    async with anyio.create_task_group() as group:
        bell = stopping.bell(clock)
        group.start_soon(lambda: drive(step, bell=bell, stopping=stopping, beat=lambda: None))
        await clock.until_sleeping()
        stopping.say()
    assert steps == 1


async def test_every_step_is_preceded_by_a_beat() -> None:
    clock = FakeClock()
    stopping = Stopping()
    told: list[str] = []

    async def step() -> float:
        told.append("step")
        if len(told) >= 4:
            stopping.say()
        return 0.0

    await drive(step, bell=stopping.bell(clock), stopping=stopping, beat=lambda: told.append("beat"))
    assert told == ["beat", "step", "beat", "step"]
