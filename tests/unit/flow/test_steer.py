"""Steering: a person may give an ended job another life, and cancel what was not sent; nothing else."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from imageferry.core.account import Timeouts
from imageferry.core.answers import Answer
from imageferry.core.job import Job
from imageferry.core.machine import State
from imageferry.errors import MoveForbidden
from imageferry.flow.steer import STEERS, UNKNOWN_TIMEOUT
from imageferry.ports import Move
from support.clouds import ScriptedCloud
from support.ledgers import job_in
from support.stages import Stage, staged

SECOND = 1_000_000


async def steer(stage: Stage, what: str, job_id: str) -> Job:
    return await STEERS[what](stage.ledger, stage.clock, {"prod": stage.site.account}, job_id)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_an_ended_job_gets_another_life_that_begins_at_once(tmp_path: Path, state: State) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, state)
        stage.clock.jump(60)
        again = await steer(stage, "retry", job.id)
        assert (again.state, again.attempt, again.attempts, again.reason) == ("planned", 2, 0, "retried by hand")
        assert again.due_at == stage.clock.now()
        assert again.give_up_at == stage.clock.now() + 86_400 * SECOND


async def test_a_retried_job_is_sent_with_a_request_of_today_and_announced_under_a_new_id(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await job_in(stage.ledger, "planned")
        await stage.submit()
        running = await stage.job()
        await stage.ledger.move([Move(job=running, to="failed", reason="broken")], stage.clock.now())
        await steer(stage, "retry", running.id)
        await stage.submit()
        again = await stage.job()
        await stage.ledger.move([Move(job=again, to="succeeded", reason="done")], stage.clock.now())
        assert [job.request["number"] for job in stage.cloud.sent] == [1, 2]
        assert [row.event_id for row in await stage.ledger.pending("file", 9)] == [f"{again.id}-1", f"{again.id}-2"]


async def test_a_job_of_an_account_that_is_not_configured_may_wait_for_a_day(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, "failed")
        again = await STEERS["retry"](stage.ledger, stage.clock, {}, job.id)
        assert again.give_up_at == stage.clock.now() + round(UNKNOWN_TIMEOUT) * SECOND


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("succeeded", "has succeeded; there is nothing to retry"),
        ("planned", "is planned and goes on by itself"),
        ("in_doubt", "is in_doubt and goes on by itself"),
        ("running", "is running and goes on by itself"),
    ],
)
async def test_what_has_succeeded_or_goes_on_is_not_retried(tmp_path: Path, state: State, said: str) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, state)
        with pytest.raises(MoveForbidden) as refused:
            await steer(stage, "retry", job.id)
        assert str(refused.value) == f"job {job.id} {said}"


async def test_a_job_that_was_not_sent_is_cancelled_and_announced(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, "planned")
        gone = await steer(stage, "cancel", job.id)
        assert (gone.state, gone.reason, await stage.ledger.outbox_size()) == ("cancelled", "cancelled by hand", 1)


@pytest.mark.parametrize("state", ["submitting", "in_doubt", "running"])
async def test_what_the_cloud_may_be_working_on_is_not_cancelled(tmp_path: Path, state: State) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, state)
        with pytest.raises(MoveForbidden) as refused:
            await steer(stage, "cancel", job.id)
        assert str(refused.value) == (
            f"job {job.id} is {state} and cannot be cancelled: the cloud cannot stop a task that it may be running"
        )


async def test_an_ended_job_is_not_cancelled(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, "succeeded")
        with pytest.raises(MoveForbidden, match="cannot be cancelled: it has ended"):
            await steer(stage, "cancel", job.id)


@pytest.mark.parametrize("what", sorted(STEERS))
async def test_a_job_that_is_not_there_is_named(tmp_path: Path, what: str) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(MoveForbidden, match="there is no job nowhere; `imageferry jobs list` shows them"):
            await steer(stage, what, "nowhere")


@pytest.mark.parametrize("doubted", [False, True])
async def test_a_retried_job_may_wait_for_its_image_as_long_as_a_new_one(tmp_path: Path, *, doubted: bool) -> None:
    cloud = ScriptedCloud()
    busy = Answer("wait_image", "busy", "ResourceInUse", "r-1")
    cloud.answers = deque([Answer("unanswered", "dropped"), busy] if doubted else [busy])
    async with staged(tmp_path, cloud, timeouts=Timeouts(request=5, settle=9, image=300)) as stage:
        job = await job_in(stage.ledger, "failed")
        stage.clock.jump(3600)
        await steer(stage, "retry", job.id)
        await stage.submit()
        while doubted and (await stage.job()).klass != "wait_image":
            await stage.until_due()
            await stage.doubt()
            await stage.submit()
        await stage.sweep()
        assert (await stage.job()).state == ("in_doubt" if doubted else "planned")
        stage.clock.jump(300)
        await stage.sweep()
        assert (await stage.job()).state == "failed"
