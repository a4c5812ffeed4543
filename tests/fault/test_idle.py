"""A daemon with nothing to do asks nobody anything, and its health pages tell the truth.

Daemon and cloud run on one clock that the test moves, so that ten idle minutes pass in a moment.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
from anyio.abc import TaskStatus

from imageferry.app import LOOP_STUCK, Daemon, Orders, Running
from imageferry.clouds.facts import FACTS
from imageferry.policies import PolicyBook
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.settings import load
from support.clocks import FakeClock
from support.daemons import House, event
from support.faults import brisk
from support.rehearsals import BUCKET, image, served, tencent
from support.waiting import until

STEP = 5.0


class Alone:
    """A daemon on a clock of the test's."""

    def __init__(self, house: House, cloud: TencentRehearsal, clock: FakeClock, daemon: Daemon) -> None:
        self.house = house
        self.cloud = cloud
        self.clock = clock
        self.daemon = daemon
        self.ops = httpx.AsyncClient()
        self.resting = 0

    async def exported(self) -> None:
        """Let one image come and be exported."""
        self.house.tell([event(image(self.cloud))])

        async def done() -> bool:
            await self.clock.advance(0.2)
            return len(self.house.completed()) == 1

        await until(done)
        await until(self.at_rest)

    async def at_rest(self) -> bool:
        """Whether as many tasks sleep as ever did, and nothing is to be done."""
        self.resting = max(self.resting, self.clock.sleeping)
        return self.clock.sleeping == self.resting > 0

    async def rest(self, seconds: float, *, busy: int = 0) -> None:
        """Let time pass, step by step; but for ``busy`` of them every loop comes to rest in between."""
        for _ in range(round(seconds / STEP)):
            await self.clock.advance(STEP)
            await until(lambda: self.clock.sleeping >= self.resting - busy)


@asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[Alone]:
    clock = FakeClock()
    cloud = tencent(clock)
    async with served(cloud) as url:
        house = House(folder, {"prod": brisk(url, request="30s", settle="60s")})
        settings = load(house.config, {})
        book = PolicyBook(settings.policies, FACTS)
        daemon = Daemon(settings=settings, book=book, clock=clock, orders=Orders(), chance=random.Random(3))
        one = Alone(house, cloud, clock, daemon)

        async def life(*, task_status: TaskStatus[Running]) -> None:
            await daemon.run(task_status=task_status)

        async with anyio.create_task_group() as group, one.ops:
            running: Running = await group.start(life)
            one.ops.base_url = httpx.URL(f"http://{running.ops[0]}:{running.ops[1]}")
            yield one
            daemon.orders.stop.set()
            group.start_soon(moving, clock, daemon)


async def moving(clock: FakeClock, daemon: Daemon) -> None:
    """Let time pass while the daemon stops."""
    while not daemon.stopping.said or clock.sleeping:
        await clock.advance(1.0)


async def test_an_idle_daemon_asks_the_cloud_nothing(tmp_path: Path) -> None:
    async with alone(tmp_path) as one:
        await one.exported()
        before = one.cloud.requests.asked()
        await one.rest(600)
        assert (before > 0, one.cloud.requests.asked()) == (True, before)


async def test_an_idle_daemon_is_live_and_ready(tmp_path: Path) -> None:
    async with alone(tmp_path) as one:
        await one.exported()
        await one.rest(LOOP_STUCK * 2)
        live, ready = await one.ops.get("/livez"), await one.ops.get("/readyz")
        assert (live.status_code, live.json()) == (200, {"live": True, "stopped": []})
        assert (ready.status_code, [name for name, check in ready.json()["checks"].items() if not check["ok"]]) == (
            200,
            [],
        )


async def test_a_loop_that_has_stopped_moving_is_named_by_livez_until_it_moves_again(tmp_path: Path) -> None:
    async with alone(tmp_path) as one:
        await one.exported()
        stuck_after = one.daemon.stuck_after
        one.cloud.misbehave(Misbehaviour(fault="slow", action=HEAD_OBJECT, after=stuck_after * 2, count=1))
        one.house.tell([event(image(one.cloud))])
        heads = one.cloud.requests.asked(HEAD_OBJECT)

        async def in_flight() -> bool:
            await one.clock.advance(0.2)
            return one.cloud.requests.asked(HEAD_OBJECT) > heads

        await until(in_flight)
        await one.rest(stuck_after + STEP, busy=1)
        stuck = await one.ops.get("/livez")
        assert (stuck.status_code, stuck.json()) == (
            503,
            {"live": False, "stopped": [f"follow prod/ap-guangzhou to {BUCKET}"]},
        )
        await one.rest(stuck_after, busy=1)

        async def moves() -> bool:
            return (await one.ops.get("/livez")).status_code == 200

        await until(moves)


async def test_a_daemon_that_is_stopping_is_live_but_not_ready(tmp_path: Path) -> None:
    async with alone(tmp_path) as one:
        await one.exported()
        one.cloud.misbehave(Misbehaviour(fault="slow", action="DescribeImages", after=30))
        one.house.tell([event(image(one.cloud))])
        asked = one.cloud.requests.asked("DescribeImages")

        async def in_flight() -> bool:
            await one.clock.advance(0.2)
            return one.cloud.requests.asked("DescribeImages") > asked

        await until(in_flight)
        one.daemon.orders.stop.set()
        await until(lambda: one.daemon.stopping.said)
        ready, live = await one.ops.get("/readyz"), await one.ops.get("/livez")
        assert (ready.status_code, ready.json()["checks"]["running"]["reason"]) == (503, "the daemon is stopping")
        assert live.status_code == 200
