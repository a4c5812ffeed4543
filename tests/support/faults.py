"""What fault tests share: a site at a rehearsal cloud on a clock that steps move, and brisk accounts for daemons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio.abc import Process

from imageferry.core.account import Backoff, Polls, Timeouts
from imageferry.core.job import ACTION_KINDS, Job
from imageferry.core.machine import END_STATES
from imageferry.core.policy import PolicySet
from imageferry.core.times import SECOND
from imageferry.rehearsal.tencent import TencentRehearsal
from support.daemons import House, account
from support.policies import policies, policy
from support.rehearsals import BUCKET, OTHER_REGION, served, tencent
from support.stages import HastyClock, Stage, adapter, staged

EXPORT = {"export": {"bucket": BUCKET, "format": "qcow2"}}
COPY = {"copy": {"regions": [OTHER_REGION]}}
EXPORT_ALL = policies(policy("archive", EXPORT))
COPY_ALL = policies(policy("dr", COPY))

STEPPED: Mapping[str, Any] = {
    "timeouts": Timeouts(request=5, settle=90, image=3600, export=3600, copy=3600),
    "polls": Polls(tasks=30, images=30),
    "backoff": Backoff(first=2, longest=60, attempts=4),
}


@asynccontextmanager
async def rehearsed(
    folder: Path, *, changes: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Stage, TencentRehearsal]]:
    """A site with the real adapter at a rehearsal cloud, both on one clock that only steps move."""
    clock = HastyClock()
    cloud = tencent(clock, **options)
    given = {**STEPPED, **(changes or {})}
    async with served(cloud) as url, staged(folder, adapter, clock=clock, base_url=url, **given) as stage:
        yield stage, cloud


async def decided(stage: Stage, image_id: str, wanted: PolicySet = EXPORT_ALL) -> None:
    """Sight an image and let the policies decide about it."""
    await stage.sight(image_id)
    await stage.look(wanted)


async def looked_into(stage: Stage, times: int = 1) -> None:
    """Let the only job's doubt be looked into, when its time has come."""
    for _ in range(times):
        await stage.until_due()
        await stage.doubt()


async def walked(stage: Stage, most: int = 100) -> list[Job]:
    """Step the loops that have work, moving time to what is due next, until every job has ended; oldest first."""
    jobs = await stage.jobs()
    for _ in range(most):
        going_on = [job for job in jobs if job.state not in END_STATES]
        if not going_on:
            return jobs
        await _stepped(stage, going_on)
        jobs, now = await stage.jobs(), stage.clock.now()
        ahead = [job.due_at - now for job in jobs if job.state not in END_STATES and job.due_at > now]
        stage.clock.jump(min(ahead, default=SECOND) / SECOND)
    raise AssertionError(f"not ended after {most} rounds: {[(job.state, job.reason) for job in going_on]}")


async def _stepped(stage: Stage, jobs: Sequence[Job]) -> None:
    """One step of every loop that finds something due among these jobs."""
    now = stage.clock.now()
    due = {(job.state, job.action) for job in jobs if job.due_at <= now}
    states = {state for state, _ in due}
    for action in ACTION_KINDS:
        if ("planned", action) in due:
            await stage.submit(action)
    if "in_doubt" in states:
        await stage.doubt()
    if "running" in states:
        await stage.follow()
    if any(job.give_up_at <= now for job in jobs):
        await stage.sweep()


def accepted_once(cloud: TencentRehearsal) -> set[tuple[str, str]]:
    """(image, destination) of every accepted task; fails where one was accepted more than once."""
    twice = {what: count for what, count in cloud.requests.accepted.items() if count != 1}
    assert twice == {}
    return {(image_id, destination) for _, image_id, destination in cloud.requests.accepted}


async def ended_once(house: House, *, killed: bool = False) -> dict[str, str]:
    """Image -> end state, of every job; fails where a job goes on, or its end was not announced under its one id.

    :param killed: a kill between publishing and marking repeats an announcement; it must be the same, to the byte.
    """
    jobs = await house.jobs()
    lines = house.completions.read_text().splitlines()
    announced = Counter(json.loads(line)["id"] for line in (set(lines) if killed else lines))
    assert announced == Counter(f"{job['id']}-{job['attempt']}" for job in jobs)
    assert len({(job["image_id"], job["action"], job["destination"]) for job in jobs}) == len(jobs)
    return {job["image_id"]: job["state"] for job in jobs}


def alive(process: Process, house: House, condition: Callable[[], bool]) -> Callable[[], bool]:
    """The condition, for as long as the daemon lives; one that has ended fails the test with the end of its log."""

    def holds() -> bool:
        assert process.returncode is None, house.log.read_text()[-2000:]
        return condition()

    return holds


def brisk(base_url: str, *, settle: str = "1500ms", request: str = "1s", **changes: Any) -> dict[str, Any]:
    """An account at a rehearsal for a whole daemon, quick to ask again."""
    timeouts = {"request": request, "settle": settle, "image": "60s", "export": "60s", "copy": "60s"}
    timeouts |= changes.pop("timeouts", {})
    return account(base_url, timeouts=timeouts, **changes)


def ops_of(house: House) -> str | None:
    """Where the daemon says that it serves metrics and health."""
    if not house.log.exists():
        return None
    lines = [json.loads(line) for line in house.log.read_text().splitlines(keepends=True) if line.endswith("}\n")]
    return next((f"http://{line['address']}" for line in lines if "address" in line), None)
