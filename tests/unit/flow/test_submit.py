"""Submitting: the intent stands on the disk before the request leaves, and the answer's class decides what follows."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import anyio
import pytest

from imageferry.core.account import Backoff, Polls, Timeouts
from imageferry.core.answers import Answer, AnswerClass
from imageferry.core.facts import KindLimit
from imageferry.core.job import Job
from imageferry.flow.submit import SHORT_WAIT, Submit
from imageferry.ports import Accepted, Move
from support.clouds import ScriptedCloud
from support.ledgers import new_job
from support.stages import Stage, staged

SECOND = 1_000_000
TIMES = {
    "timeouts": Timeouts(request=5, settle=90, image=600, export=3600, copy=1800),
    "backoff": Backoff(first=4, longest=60, attempts=3),
    "polls": Polls(tasks=30, images=20),
}
FULL = Answer("wait_quota", "five run already", "LimitExceeded.ExportImageTaskLimitExceeded", "r-1", about_running=True)


def answering(*answers: Accepted | Answer) -> ScriptedCloud:
    cloud = ScriptedCloud()
    cloud.answers = deque(answers)
    return cloud


async def sent_once(stage: Stage, action: str = "export") -> tuple[Job, Job]:
    """(the job as it was planned, the job after its first request)."""
    [before] = await stage.planned(new_job(action=action, destination="ap-beijing"))
    await stage.submit("export" if action == "export" else "copy")
    return before, await stage.job()


async def test_intent_and_whole_request_are_on_the_disk_before_the_request_leaves(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    async with staged(tmp_path, cloud) as stage:
        seen: list[Job | None] = []

        async def read_the_ledger(job: Job) -> None:
            seen.append(await stage.ledger.job(job.id))

        cloud.on_submit = read_the_ledger
        await sent_once(stage)
        [row] = seen
        assert row is not None
        assert (row.state, row.request, row.sends) == ("submitting", dict(cloud.sent[0].request), 1)
        assert row.request != {}


async def test_an_accepted_job_runs_under_the_clouds_reference(tmp_path: Path) -> None:
    async with staged(tmp_path, answering(Accepted("task-7", "r-7", ("a.qcow2",))), **TIMES) as stage:
        _, job = await sent_once(stage)
        assert (job.state, job.task_ref, job.request_id, job.object_keys) == ("running", "task-7", "r-7", ("a.qcow2",))
        assert (job.klass, job.attempts, job.sent_at) == ("ok", 1, None)


async def test_the_wait_for_the_end_counts_from_the_submit(tmp_path: Path) -> None:
    async with staged(tmp_path, **TIMES) as stage:
        await stage.planned(new_job())
        stage.clock.jump(500)
        await stage.submit()
        assert (await stage.job()).give_up_at == stage.clock.now() + 3600 * SECOND


@pytest.mark.parametrize("klass", ["permanent_image", "permanent_config"])
async def test_a_refusal_for_good_fails_the_job_with_code_and_request_id(tmp_path: Path, klass: AnswerClass) -> None:
    answer = Answer(klass, "no such bucket", "InvalidParameterValue.BucketNotFound", "r-9")
    async with staged(tmp_path, answering(answer)) as stage:
        _, job = await sent_once(stage)
        assert (job.state, job.klass, job.vendor_code, job.request_id) == ("failed", klass, answer.vendor_code, "r-9")
        assert job.reason == "InvalidParameterValue.BucketNotFound: no such bucket (request r-9)"


@pytest.mark.parametrize("klass", ["unanswered", "retry"])
async def test_an_answer_that_leaves_it_open_makes_a_doubt_that_settles_first(
    tmp_path: Path, klass: AnswerClass
) -> None:
    async with staged(tmp_path, answering(Answer(klass, "lost")), **TIMES) as stage:
        _, job = await sent_once(stage)
        assert (job.state, job.attempts) == ("in_doubt", 1)
        assert job.due_at == stage.clock.now() + 90 * SECOND
        assert job.sent_at is not None


async def test_a_request_that_never_left_is_planned_again_and_is_no_attempt(tmp_path: Path) -> None:
    async with staged(tmp_path, answering(Answer("never_sent", "no connection")), **TIMES) as stage:
        _, job = await sent_once(stage)
        assert (job.state, job.attempts, job.sent_at) == ("planned", 0, None)
        assert SECOND <= job.due_at - stage.clock.now() <= 4 * SECOND


@pytest.mark.parametrize("klass", ["throttled", "wait_quota", "wait_image", "never_sent"])
async def test_being_told_to_wait_is_no_attempt(tmp_path: Path, klass: AnswerClass) -> None:
    async with staged(tmp_path, answering(Answer(klass, "later")), **TIMES) as stage:
        _, job = await sent_once(stage)
        assert (job.state, job.klass, job.attempts) == ("planned", klass, 0)


async def test_the_wait_for_a_busy_image_ends_with_the_images_time_out_counted_from_the_decision(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, answering(Answer("wait_image", "busy")), **TIMES) as stage:
        before, job = await sent_once(stage)
        assert job.give_up_at == before.created_at + 600 * SECOND


async def test_the_wait_for_quota_ends_with_the_deadline_that_the_decision_set(tmp_path: Path) -> None:
    async with staged(tmp_path, answering(FULL), **TIMES) as stage:
        before, job = await sent_once(stage)
        assert job.give_up_at == before.give_up_at


async def test_a_vendors_own_wish_for_a_wait_is_kept(tmp_path: Path) -> None:
    async with staged(tmp_path, answering(Answer("throttled", "too fast", retry_after=17)), **TIMES) as stage:
        _, job = await sent_once(stage)
        assert job.due_at == stage.clock.now() + 17 * SECOND


async def test_a_refused_job_goes_behind_the_others(tmp_path: Path) -> None:
    cloud = answering(FULL, Accepted("task-1"))
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.planned(new_job("img-1"), new_job("img-2"))
        await stage.submit()
        await stage.submit()
        assert [job.image_id for job in cloud.sent] == ["img-1", "img-2"]


async def test_jobs_in_doubt_count_as_running_tasks_when_a_slot_is_claimed(tmp_path: Path) -> None:
    """Jobs in doubt count as running tasks, or slots are over-claimed."""
    cloud = answering(Answer("unanswered", "lost"), Accepted("task-2"))
    limits = {"export": KindLimit(20, running=1), "copy": KindLimit(10), "read": KindLimit(40)}
    async with staged(tmp_path, cloud, limits=limits) as stage:
        await stage.planned(new_job("img-1"), new_job("img-2"))
        assert await stage.submit() == 0
        assert await stage.submit() == SHORT_WAIT
        assert [job.image_id for job in cloud.sent] == ["img-1"]


async def test_jobs_in_doubt_count_as_running_tasks_when_a_limit_is_learned(tmp_path: Path) -> None:
    """Jobs in doubt count as running tasks, or the learned limit comes out too low."""
    cloud = answering(Accepted("task-1"), Answer("unanswered", "lost"), FULL)
    async with staged(tmp_path, cloud) as stage:
        await stage.planned(*(new_job(f"img-{number}") for number in range(3)))
        for _ in range(3):
            await stage.submit()
        assert stage.site.lanes.running("ap-guangzhou", "export").limit(stage.clock.monotonic()) == 2


async def test_an_acceptance_within_a_learned_limit_does_not_raise_it(tmp_path: Path) -> None:
    cloud = answering(Accepted("task-1"), Accepted("task-2"), FULL, Accepted("task-4"))
    async with staged(tmp_path, cloud) as stage:
        await stage.planned(*(new_job(f"img-{number}") for number in range(4)))
        for _ in range(3):
            await stage.submit()
        await stage.site.carry_out([Move(job=(await stage.jobs())[0], to="succeeded", reason="done")])
        await stage.submit()
        assert len(cloud.sent) == 4
        assert stage.site.lanes.running("ap-guangzhou", "export").limit(stage.clock.monotonic()) == 2


async def test_quota_that_is_not_about_running_tasks_teaches_no_limit(tmp_path: Path) -> None:
    cloud = answering(Accepted("task-1"), Answer("wait_quota", "no room for images", "LimitExceeded"))
    async with staged(tmp_path, cloud) as stage:
        await stage.planned(new_job("img-1"), new_job("img-2"))
        await stage.submit()
        await stage.submit()
        assert stage.site.lanes.running("ap-guangzhou", "export").limit(stage.clock.monotonic()) is None


async def test_an_image_is_held_by_one_job_over_exports_and_copies(tmp_path: Path) -> None:
    """One lock per image over exports and copies, held in submitting, in_doubt and running."""
    cloud = answering(Answer("unanswered", "lost"))
    async with staged(tmp_path, cloud) as stage:
        await stage.planned(new_job(), new_job(action="copy", destination="ap-beijing"))
        await stage.submit("export")
        assert await stage.submit("copy") == SHORT_WAIT
        in_doubt = next(job for job in await stage.jobs() if job.state == "in_doubt")
        await stage.site.carry_out([Move(job=in_doubt, to="running", reason="found", task_ref="task-1")])
        assert await stage.submit("copy") == SHORT_WAIT
        assert [job.action for job in cloud.sent] == ["export"]


async def test_a_closed_account_sends_nothing_and_waits_for_its_circuit(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    async with staged(tmp_path, cloud) as stage:
        await stage.planned(new_job())
        stage.site.lanes.circuit.judge(Answer("auth", "bad signature"))
        assert await stage.submit() == pytest.approx(300, abs=1)
        assert ((await stage.job()).state, cloud.sent) == ("planned", [])


async def test_a_lane_without_work_waits_to_be_rung_for(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert await stage.submit() == float("inf")


async def test_the_time_from_event_to_submit_is_observed_once_a_job(tmp_path: Path) -> None:
    async with staged(tmp_path, answering(Answer("throttled", "too fast"), Accepted("task-1"))) as stage:
        await stage.planned(new_job())
        await stage.submit()
        await stage.until_due()
        await stage.submit()
        assert (await stage.job()).state == "running"
        assert "imageferry_event_to_submit_seconds_count 1.0" in stage.metrics.exposition().decode()


async def test_a_stop_said_while_a_request_waits_for_its_permit_keeps_it_from_being_sent(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, anyio.create_task_group() as group:
        await stage.planned(new_job())
        begun = stage.clock.monotonic()
        submit = Submit(stage.site, "export", group, stopped=lambda: stage.clock.monotonic() > begun)
        assert await submit.step() == SHORT_WAIT
        assert (stage.clock.monotonic() > begun, stage.cloud.sent, (await stage.job()).state) == (True, [], "planned")
