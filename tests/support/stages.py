"""One site with its loops, stepped by hand: a real ledger, a clock that only steps move, any cloud."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from imageferry.clouds.registry import CLOUDS
from imageferry.core.account import Account
from imageferry.core.image import Place
from imageferry.core.job import ActionKind, Job, JobFilter, NewJob
from imageferry.core.policy import PolicySet
from imageferry.flow.doubt import Doubt
from imageferry.flow.drive import Bell
from imageferry.flow.follow import Follow
from imageferry.flow.inspect import Inspect
from imageferry.flow.lanes import Lanes
from imageferry.flow.site import Bells, Site
from imageferry.flow.submit import Submit
from imageferry.flow.sweep import Sweep
from imageferry.flow.ways import Ways
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ports import Cloud, HistoryRow, Ledger
from imageferry.telemetry.liveness import Heartbeats
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.clocks import FakeClock
from support.clouds import ScriptedCloud
from support.ledgers import plan, sighting

Builder = Callable[[Account, Lanes, FakeClock, Metrics], Cloud]


class HastyClock(FakeClock):
    """Sleeping moves time at once: for steps that are taken one after another."""

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.jump(seconds)
        await checkpoint()


@dataclass(slots=True)
class Stage:
    """What a test steps."""

    site: Site
    clock: HastyClock
    cloud: Any
    metrics: Metrics
    announced: list[int] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return self.site.ledger

    async def sight(self, *image_ids: str) -> None:
        """Record one event for each image."""
        place = Place(self.site.account.cloud, self.site.account.name, self.site.region)
        await self.ledger.record([sighting(each, place=place) for each in image_ids], self.clock.now())

    async def look(self, policies: PolicySet) -> float:
        return await Inspect(self.site, lambda: policies).step()

    async def planned(self, *jobs: NewJob) -> list[Job]:
        """Jobs as a decision would have made them now."""
        return await plan(self.ledger, *jobs, now=self.clock.now())

    async def submit(self, action: ActionKind = "export") -> float:
        """One step of the submitting loop, and everything that it began."""
        async with anyio.create_task_group() as group:
            return await Submit(self.site, action, group).step()

    def ways(self, group: TaskGroup, bell: Bell) -> Ways:
        """Where the work of a loop goes on beside it."""
        return Ways(group, bell, "loop", Heartbeats(self.clock.monotonic))

    async def doubt(self) -> float:
        async with anyio.create_task_group() as group:
            return await Doubt(self.site, self.ways(group, self.site.bells.doubt)).step()

    async def follow(self) -> float:
        async with anyio.create_task_group() as group:
            return await Follow(self.site, self.ways(group, self.site.bells.follow)).step()

    async def sweep(self) -> float:
        return await Sweep([self.site], self.ledger, self.clock, self.metrics, lambda: ["archive"]).step()

    async def jobs(self) -> list[Job]:
        """Every job, oldest first."""
        return (await self.ledger.jobs(JobFilter()))[::-1]

    async def job(self) -> Job:
        """The only job."""
        [job] = await self.jobs()
        return job

    async def history(self) -> list[HistoryRow]:
        """What became of the only job, move by move."""
        return await self.ledger.history((await self.job()).id)

    async def states(self) -> list[str]:
        """The states that the only job went through, repeats left out."""
        seen = [row.to_state for row in await self.history()]
        return [state for place, state in enumerate(seen) if place == 0 or seen[place - 1] != state]

    async def wait_for(self, job: Job) -> None:
        """Move time to when the job is due."""
        now = await self.ledger.job(job.id)
        assert now is not None
        self.clock.jump(max(0, now.due_at - self.clock.now()) / 1_000_000)

    async def until_due(self) -> Job:
        """Move time to when the only job is due; the job."""
        job = await self.job()
        await self.wait_for(job)
        return job


def adapter(account: Account, lanes: Lanes, clock: FakeClock, metrics: Metrics) -> Cloud:
    """The real adapter of the account's cloud."""
    return CLOUDS[account.cloud](account, lanes, clock, metrics)


@asynccontextmanager
async def staged(
    folder: Path,
    cloud: ScriptedCloud | Builder | None = None,
    *,
    clock: HastyClock | None = None,
    account: Account | None = None,
    **changes: Any,
) -> AsyncIterator[Stage]:
    """A site of ``account`` over the ledger in ``folder``; of ``prod`` with ``changes`` where none is given."""
    clock = clock or HastyClock()
    metrics = Metrics()
    account = account or tencent_account(**changes)
    lanes = Lanes(account, clock, metrics)
    scripted = ScriptedCloud() if cloud is None else cloud
    port: Cloud = scripted if isinstance(scripted, ScriptedCloud) else scripted(account, lanes, clock, metrics)
    announced: list[int] = []
    async with open_ledger(f"sqlite://{folder}/ledger.db", clock=clock) as ledger:
        site = Site(
            region=account.regions[0],
            lanes=lanes,
            cloud=port,
            ledger=ledger,
            clock=clock,
            metrics=metrics,
            bells=Bells(*(Bell(clock) for _ in range(5))),
            announce=lambda: announced.append(clock.now()),
            chance=random.Random(5),
        )
        try:
            yield Stage(site, clock, port, metrics, announced)
        finally:
            await port.aclose()
