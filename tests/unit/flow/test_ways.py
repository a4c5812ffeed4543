from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from imageferry.core.job import Job
from imageferry.flow.drive import Bell
from imageferry.flow.ways import Ways
from imageferry.telemetry.liveness import Heartbeats
from support.clocks import FakeClock
from support.ledgers import new_job
from support.stages import staged


async def test_each_destination_goes_its_own_way_and_the_loop_is_rung_for_when_one_is_done(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        [job] = await stage.planned(new_job())
    jobs = [replace(job, destination=to) for to in ("slow", "quick", "slow")]
    gate, done = anyio.Event(), list[list[str]]()
    clock = FakeClock()
    bell, beats = Bell(clock), Heartbeats(clock.monotonic)

    async def work(some: Sequence[Job]) -> None:
        if some[0].destination == "slow":
            await gate.wait()
        done.append([one.destination for one in some])

    async with anyio.create_task_group() as group:
        ways = Ways(group, bell, "follow", beats)
        ways.start(jobs, work)
        assert ways.under_way == {"slow", "quick"}
        await bell.rest(1000)
        assert (done, ways.under_way) == ([["quick"]], {"slow"})
        assert beats.stopped(clock.monotonic() + 10, 1) == ["follow to slow"]
        gate.set()
        await bell.rest(1000)
        assert (done, ways.under_way) == ([["quick"], ["slow", "slow"]], set())
        assert beats.stopped(clock.monotonic() + 10, 1) == []
