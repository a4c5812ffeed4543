"""Following: what each progress makes of a running job, when it is looked at next, and that every wait ends."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imageferry.core.account import Polls, Timeouts
from imageferry.core.answers import Answer
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Accepted, Following, Move, Progress
from support.clouds import ScriptedCloud, Told
from support.ledgers import new_job
from support.stages import Stage, staged

SECOND = 1_000_000
TIMES = {"timeouts": Timeouts(request=5, settle=90, export=1000, copy=1000), "polls": Polls(tasks=30, images=30)}


@asynccontextmanager
async def running(folder: Path, *told: Told, **changes: Any) -> AsyncIterator[tuple[Stage, ScriptedCloud]]:
    """A job whose export runs; ``told`` are the cloud's words at each look."""
    cloud = ScriptedCloud()
    cloud.answers = deque([Accepted("task-1", "r-1")])
    if told:
        cloud.progress = deque(told)
    async with staged(folder, cloud, **{**TIMES, **changes}) as stage:
        await stage.planned(new_job())
        await stage.submit()
        yield stage, cloud


def says(verdict: str, reason: str = "as scripted", **more: object) -> Told:
    """The same for every job that is asked about."""

    def tell(one: Following) -> Progress:
        plain = Progress(one.job.id, "running", reason)
        return replace(plain, verdict=verdict, **more)  # type: ignore[arg-type] # the fields of Progress

    return tell


async def look(stage: Stage, times: int = 1) -> None:
    for _ in range(times):
        await stage.until_due()
        await stage.follow()


async def test_success_ends_the_job_with_the_keys_that_were_written(tmp_path: Path) -> None:
    async with running(tmp_path, says("succeeded", object_keys=("real.qcow2",))) as (stage, _):
        await look(stage)
        job = await stage.job()
        assert (job.state, job.object_keys, job.ended_at) == ("succeeded", ("real.qcow2",), stage.clock.now())
        assert (stage.site.tally.succeeded, len(stage.announced)) == (1, 1)


async def test_a_failure_says_what_the_cloud_said(tmp_path: Path) -> None:
    answer = Answer("permanent_image", "broken", "CreateFailed", "r-2")
    async with running(tmp_path, says("failed", "the image is gone", answer=answer)) as (stage, _):
        await look(stage)
        job = await stage.job()
        assert (job.state, job.reason, job.vendor_code) == ("failed", "the image is gone", "CreateFailed")


async def test_a_task_that_left_nothing_is_asked_for_once_more_and_only_once(tmp_path: Path) -> None:
    async with running(tmp_path, says("vanished", "the task ended, but left nothing")) as (stage, cloud):
        for _ in range(4):
            await look(stage)
            await stage.until_due()
            await stage.submit()
        job = await stage.job()
        assert (job.state, len(cloud.sent)) == ("failed", 2)
        assert job.reason == "twice: the task ended, but left nothing"


async def test_a_second_chance_is_not_renewed_by_a_doubt(tmp_path: Path) -> None:
    async with running(tmp_path, says("vanished", "left nothing")) as (stage, cloud):
        cloud.answers = deque([Answer("unanswered", "lost"), Accepted("task-3")])
        await look(stage)
        await stage.submit()
        for _ in range(2):
            await stage.until_due()
            await stage.doubt()
        await stage.submit()
        await look(stage)
        assert ((await stage.job()).state, len(cloud.sent)) == ("failed", 3)


async def test_what_the_adapter_noted_is_there_at_the_next_look(tmp_path: Path) -> None:
    async with running(tmp_path, says("running", memo={"seen": {"a": 1}}), says("running")) as (stage, cloud):
        await look(stage, 2)
        assert [one.job.memo for [one] in cloud.followed] == [{}, {"seen": {"a": 1}}]


async def test_an_end_that_is_near_is_looked_at_again_after_the_shortest_time(tmp_path: Path) -> None:
    async with running(tmp_path, says("running"), says("running"), says("running", soon=True)) as (stage, _):
        stage.clock.jump(200)
        await look(stage, 2)
        assert 30 <= ((await stage.job()).due_at - stage.clock.now()) / SECOND < 40
        await look(stage)
        assert 1 <= ((await stage.job()).due_at - stage.clock.now()) / SECOND < 4 / 3


async def test_the_cadence_tightens_towards_the_end_that_earlier_tasks_had(tmp_path: Path) -> None:
    async with running(tmp_path, says("running")) as (stage, _):
        stage.site.lanes.expected("export").seen(120.0)
        waits = []
        for _ in range(4):
            await look(stage)
            waits.append(((await stage.job()).due_at - stage.clock.now()) / SECOND)
        assert [wait // 30 for wait in waits[:2]] == [1, 1]
        assert waits[1] >= waits[2] > waits[3] > 120 / 50


async def test_long_tasks_that_end_about_the_same_time_are_looked_at_together(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.planned(*(new_job(f"img-{number}") for number in range(20)))
        for _ in range(20):
            await stage.submit()
        for _ in range(60):
            stage.clock.jump(1)
            await stage.follow()
        cloud.followed.clear()
        for _ in range(60):
            stage.clock.jump(1)
            await stage.follow()
        assert max(len(batch) for batch in cloud.followed) > 10


async def test_one_request_asks_for_a_hundred(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.planned(*(new_job(f"img-{number}") for number in range(120)))
        for _ in range(120):
            await stage.submit()
        stage.clock.jump(60)
        await stage.follow()
        assert sorted(len(batch) for batch in cloud.followed) == [20, 100]


async def test_a_task_that_is_seen_to_run_past_its_deadline_is_followed_and_then_given_up(tmp_path: Path) -> None:
    async with running(tmp_path, says("running", "still running")) as (stage, cloud):
        stage.clock.jump(1001)
        await look(stage)
        assert ((await stage.job()).state, cloud.followed[-1][0].overdue) == ("running", True)
        stage.clock.jump(1000)
        await look(stage)
        job = await stage.job()
        assert (job.state, job.reason) == ("failed", "given up: still running")


@pytest.mark.parametrize(
    "trouble", [Refused(Answer("throttled", "too fast")), CircuitOpen("prod", "its keys were refused")]
)
async def test_a_cloud_that_does_not_say_leaves_the_job_running(tmp_path: Path, trouble: Exception) -> None:
    async with running(tmp_path, trouble) as (stage, _):
        await look(stage)
        job = await stage.job()
        assert (job.state, job.reason) == ("running", f"its state could not be read: {trouble}")


async def test_a_cloud_that_never_says_is_given_up_in_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, Refused(Answer("unanswered", "no answer"))) as (stage, _):
        stage.clock.jump(2001)
        await look(stage)
        job = await stage.job()
        assert (job.state, job.klass) == ("failed", "unanswered")
        assert job.reason == "given up: its state could not be read: no answer"


async def test_a_job_that_was_moved_meanwhile_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with running(tmp_path) as (stage, cloud):
        await stage.planned(new_job("img-2"))
        await stage.submit()
        first, second = await stage.jobs()
        stage.clock.jump(60)
        cloud.progress = deque([says("succeeded")])
        stale = [Move(job=job, to="succeeded", reason="done") for job in (first, second)]
        await stage.ledger.move([Move(job=first, to="failed", reason="by someone else")], stage.clock.now())
        await stage.site.carry_out(stale)
        assert [job.state for job in await stage.jobs()] == ["failed", "succeeded"]


async def test_what_is_asked_for_once_more_may_wait_for_its_image_anew(tmp_path: Path) -> None:
    times = Timeouts(request=5, settle=9, image=300)
    async with running(tmp_path, says("vanished", "left nothing"), timeouts=times) as (stage, cloud):
        cloud.answers = deque([Answer("wait_image", "busy", "ResourceInUse", "r-3")])
        stage.clock.jump(400)
        await look(stage)
        await stage.submit()
        await stage.sweep()
        assert ((await stage.job()).state, (await stage.job()).klass) == ("planned", "wait_image")
