"""What every cloud does about "later": too fast, too many tasks, no room, and an image that is busy."""

from __future__ import annotations

import pytest

from imageferry.core.answers import Answer
from imageferry.core.job import ActionKind
from support.trials import KINDS, Begin, Trial, action, states

RUNNING = 2
DUE = 6


def learned(trial: Trial, kind: ActionKind) -> int | None:
    """How many tasks may run at once, as far as refusals have taught it."""
    return trial.stage.site.lanes.running(trial.entry.region, kind).limit(trial.stage.clock.monotonic())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_comes_too_fast_slows_its_lane_and_is_sent_again(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        pace = trial.stage.site.lanes.pace(trial.entry.region, kind)
        before = pace.rate()
        trial.misbehave("throttle", kind, count=1)
        await trial.stage.submit(kind)
        job = await trial.stage.job()
        assert (job.state, job.klass, job.attempts) == ("planned", "throttled", 0)
        assert pace.rate() < before
        [job] = await trial.walked()
        assert (job.state, job.sends) == ("succeeded", 2)
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


async def test_looks_that_come_too_fast_are_made_again(begin: Begin) -> None:
    async with begin() as trial:
        trial.misbehave("throttle", trial.entry.looks, count=1)
        image_id = await trial.job_of("export")
        trial.stage.clock.jump(10)
        await trial.stage.look(trial.wanted("export"))
        [job] = await trial.walked()
        assert (job.image_id, job.state) == (image_id, "succeeded")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_quota_of_running_tasks_teaches_the_lane_where_it_is_told_from_others(
    begin: Begin, kind: ActionKind
) -> None:
    limits = {"exports_running": RUNNING, "copies_running": RUNNING, "export_seconds": 30.0, "copy_seconds": 30.0}
    async with begin(**limits) as trial:
        ids = [trial.image(name=f"web-{number}") for number in range(DUE)]
        await trial.decided(trial.wanted(kind), *ids)
        for _ in ids:
            await trial.stage.submit(kind)
        assert learned(trial, kind) == (RUNNING if kind in trial.entry.running_quota else None)
        jobs = await trial.walked()
        assert states(jobs) == {"succeeded": DUE}
        assert trial.accepted == trial.once(*((kind, each, trial.target(kind)) for each in ids))


@pytest.mark.parametrize("kind", KINDS)
async def test_one_task_too_many_is_refused_as_such_where_the_cloud_has_a_word_for_it(
    begin: Begin, kind: ActionKind
) -> None:
    async with begin() as trial:
        known = trial.entry.running_quota
        trial.refuse(known.get(kind, trial.entry.other_quota[kind]), kind)
        answer = await trial.refusal(kind)
        assert (answer.klass, answer.about_running) == ("wait_quota", kind in known)


@pytest.mark.parametrize("kind", KINDS)
async def test_any_other_quota_is_waited_for_and_teaches_nothing(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.refuse(trial.entry.other_quota[kind], kind, count=2)
        await trial.stage.submit(kind)
        job = await trial.stage.job()
        assert (job.state, job.klass, job.attempts) == ("planned", "wait_quota", 0)
        assert learned(trial, kind) is None
        [job] = await trial.walked()
        assert (job.state, job.sends) == ("succeeded", 3)
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_busy_image_is_waited_for(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.refuse(trial.entry.busy[kind], kind, count=3)
        await trial.stage.submit(kind)
        job = await trial.stage.job()
        assert (job.state, job.klass, job.attempts) == ("planned", "wait_image", 0)
        [job] = await trial.walked()
        assert (job.state, job.sends) == ("succeeded", 4)
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_that_a_stranger_exports_is_waited_for(begin: Begin, kind: ActionKind) -> None:
    """The cloud's own refusal, not a rehearsed one; where it takes both at once there is nothing to wait for."""
    async with begin(export_seconds=60.0) as trial:
        image_id = await trial.job_of(kind)
        answer = await trial.sent(await trial.frozen("export", image_id, trial.entry.buckets[1]))
        assert not isinstance(answer, Answer)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once(
            ("export", image_id, trial.entry.buckets[1]), (kind, image_id, trial.target(kind))
        )


async def test_the_tasks_of_one_image_wait_for_one_another_without_being_refused(begin: Begin) -> None:
    async with begin(export_seconds=30.0, copy_seconds=30.0) as trial:
        image_id = trial.image()
        wanted = [action(trial.entry, "export", each) for each in trial.entry.buckets]
        await trial.decided(trial.policies(*wanted, action(trial.entry, "copy", trial.entry.other_region)), image_id)
        jobs = await trial.walked()
        assert (states(jobs), {job.sends for job in jobs}) == ({"succeeded": 3}, {1})
