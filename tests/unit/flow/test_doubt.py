"""Doubts: what each finding makes of a job, and that nothing is sent again before it is proved absent."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from imageferry.core.account import Backoff, Timeouts
from imageferry.core.answers import Answer
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Absent, Accepted, Finding, Found, Lost, Move, Unclear
from support.clouds import ScriptedCloud
from support.ledgers import new_job
from support.stages import Stage, staged

SECOND = 1_000_000
LOST = Answer("unanswered", "the connection was lost")
BUSY = Answer("wait_image", "the image is busy", "InvalidParameterValue.InvalidImageState", "r-busy")
TIMES = {
    "timeouts": Timeouts(request=5, settle=90, image=600, export=3600, copy=3600),
    "backoff": Backoff(first=4, longest=60, attempts=3),
}


@asynccontextmanager
async def in_doubt(
    folder: Path, *findings: Finding | Exception, answers: tuple[Accepted | Answer, ...] = (LOST, Accepted("task-2"))
) -> AsyncIterator[tuple[Stage, ScriptedCloud]]:
    """A job whose first request got no answer, due to be looked into."""
    cloud = ScriptedCloud()
    cloud.answers = deque(answers)
    cloud.findings = deque(findings or (Absent("nothing there"),))
    async with staged(folder, cloud, **TIMES) as stage:
        await stage.planned(new_job())
        await stage.submit()
        yield stage, cloud


async def looked_into(stage: Stage, times: int = 1) -> None:
    for _ in range(times):
        await stage.until_due()
        await stage.doubt()


async def test_a_doubt_rests_until_its_request_can_no_longer_be_under_way(tmp_path: Path) -> None:
    async with in_doubt(tmp_path) as (stage, cloud):
        stage.clock.jump(89)
        assert 0 < await stage.doubt() <= 1.1
        assert cloud.sought == []


async def test_the_settling_time_counts_from_the_stored_send_over_restarts(tmp_path: Path) -> None:
    """The settling time counts from the stored send, over restarts."""
    async with in_doubt(tmp_path) as (stage, cloud):
        sent = await stage.planned(new_job("img-2"))
        cloud.on_submit = died_in_mid_request
        await raises(RuntimeError, stage.submit)
        stage.clock.jump(60)
        await stage.ledger.recover("prod", "ap-guangzhou", stage.clock.now(), stage.clock.now())
        await stage.doubt()
        assert [job.image_id for job, _ in cloud.sought] == []
        again = await stage.ledger.job(sent[0].id)
        assert again is not None
        assert (again.due_at - stage.clock.now()) / SECOND == 30


async def test_a_vendors_slow_clock_does_not_shorten_the_rest_after_a_restart(tmp_path: Path) -> None:
    """The settling time counts from the stored send, over restarts: a new process has not heard the vendor's clock."""
    cloud = ScriptedCloud()
    cloud.ahead = -240 * SECOND
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.planned(new_job())
        cloud.on_submit = died_in_mid_request
        await raises(RuntimeError, stage.submit)
        cloud.ahead = 0
        await stage.ledger.recover("prod", "ap-guangzhou", stage.clock.now(), stage.clock.now())
        await stage.doubt()
        assert cloud.sought == []


async def test_find_is_given_the_time_of_the_first_unresolved_send_by_the_vendors_clock(tmp_path: Path) -> None:
    """``find`` is given the time of the first unresolved send, by the vendor's clock."""
    cloud = ScriptedCloud()
    cloud.ahead = 240 * SECOND
    cloud.answers = deque([LOST])
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.planned(new_job())
        await stage.submit()
        by_vendor = stage.clock.now() + cloud.ahead
        await looked_into(stage)
        assert cloud.sought[0][0].sent_at == by_vendor


async def test_find_is_given_the_tasks_that_other_jobs_of_the_image_own(tmp_path: Path) -> None:
    """``find`` is given the task ids that other jobs own: another job's export must not be adopted."""
    cloud = ScriptedCloud()
    cloud.answers = deque([Accepted("task-of-bucket-a"), LOST])
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.planned(new_job(destination="bucket-a"), new_job(destination="bucket-b"))
        await stage.submit()
        running = next(job for job in await stage.jobs() if job.state == "running")
        await stage.site.carry_out([Move(job=running, to="succeeded", reason="done")])
        await stage.submit()
        lost = next(job for job in await stage.jobs() if job.state == "in_doubt")
        await stage.wait_for(lost)
        await stage.doubt()
        assert [(job.destination, taken) for job, taken in cloud.sought] == [("bucket-b", {"task-of-bucket-a"})]


async def test_what_is_found_runs_on_without_another_request(tmp_path: Path) -> None:
    async with in_doubt(tmp_path, Found("task-9", "found by its objects", ("a.qcow2",))) as (stage, cloud):
        await looked_into(stage)
        job = await stage.job()
        assert (job.state, job.task_ref, job.object_keys, len(cloud.sent)) == ("running", "task-9", ("a.qcow2",), 1)


async def test_absent_by_name_alone_needs_two_looks_apart(tmp_path: Path) -> None:
    """Where a name is the only guard, "absent" needs two looks apart."""
    async with in_doubt(tmp_path, Absent("no such object")) as (stage, cloud):
        await looked_into(stage)
        first = stage.clock.now()
        job = await stage.job()
        assert (job.state, (job.due_at - first) / SECOND >= 90 / 4) == ("in_doubt", True)
        await looked_into(stage)
        assert ((await stage.job()).state, len(cloud.sought)) == ("planned", 2)


async def test_unclear_between_two_absents_starts_the_count_anew(tmp_path: Path) -> None:
    """Where a name is the only guard, "absent" needs two looks apart, and nothing else in between."""
    looks = (Absent("none"), Unclear("busy"), Absent("none"), Absent("none"))
    async with in_doubt(tmp_path, *looks) as (stage, _):
        await looked_into(stage, 3)
        assert (await stage.job()).state == "in_doubt"
        await looked_into(stage)
        assert (await stage.job()).state == "planned"


async def test_certain_absence_needs_one_look(tmp_path: Path) -> None:
    async with in_doubt(tmp_path, Absent("such an image is never exported", certain=True)) as (stage, _):
        await looked_into(stage)
        assert (await stage.job()).state == "planned"


async def test_a_lost_task_that_is_seen_to_have_failed_ends_the_doubt(tmp_path: Path) -> None:
    """A lost task that is seen to have failed ends the doubt."""
    failed = Answer("permanent_image", "the copy failed", "CreateFailed", "r-3")
    async with in_doubt(tmp_path, Lost("the copy img-9 was begun and has failed", failed)) as (stage, cloud):
        await looked_into(stage)
        job = await stage.job()
        assert (job.state, job.reason) == ("failed", "the copy img-9 was begun and has failed")
        assert (job.klass, job.vendor_code, len(cloud.sent)) == ("permanent_image", "CreateFailed", 1)


async def test_the_resend_is_the_request_that_was_frozen_first(tmp_path: Path) -> None:
    """The whole request is frozen in the row together with submitting; a resend and find use that."""
    async with in_doubt(tmp_path) as (stage, cloud):
        first = dict(cloud.sent[0].request)
        await looked_into(stage, 2)
        await stage.submit()
        assert [dict(job.request) for job in cloud.sent] == [first, first]
        assert (dict(cloud.sought[0][0].request), cloud.frozen) == (first, 1)


async def test_busy_after_a_doubt_is_looked_into_before_it_is_waited_for(tmp_path: Path) -> None:
    """ "Busy" after a doubt may be our own lost task or another's: look again before waiting."""
    looks = (Absent("none"), Absent("none"), Found("task-1", "found by its objects"))
    async with in_doubt(tmp_path, *looks, answers=(LOST, BUSY)) as (stage, cloud):
        first_send = cloud.sent[0].sent_at
        await looked_into(stage, 2)
        await stage.submit()
        job = await stage.job()
        assert (job.state, job.sent_at, job.attempts) == ("in_doubt", first_send, 1)
        assert job.due_at - stage.clock.now() <= SECOND
        await looked_into(stage)
        assert ((await stage.job()).state, len(cloud.sent)) == ("running", 2)


async def test_busy_without_a_doubt_before_it_is_only_waited_for(tmp_path: Path) -> None:
    async with in_doubt(tmp_path, answers=(BUSY,)) as (stage, cloud):
        assert ((await stage.job()).state, cloud.sought) == ("planned", [])


async def test_a_retry_answer_to_a_submit_is_looked_into_and_only_then_sent_again(tmp_path: Path) -> None:
    """A ``retry`` answer to a submit is looked into like an unanswered one."""
    answers = (Answer("retry", "internal error", "InternalError", "r-1"), Accepted("task-2"))
    async with in_doubt(tmp_path, answers=answers) as (stage, cloud):
        await looked_into(stage, 2)
        assert (len(cloud.sought), len(cloud.sent)) == (2, 1)
        assert (await stage.job()).due_at > stage.clock.now()
        await stage.until_due()
        await stage.submit()
        assert (await stage.job()).state == "running"


async def test_a_doubt_that_stays_unclear_is_looked_into_again_and_never_sent(tmp_path: Path) -> None:
    async with in_doubt(tmp_path, Unclear("a dry run did not tell")) as (stage, cloud):
        await looked_into(stage, 5)
        job = await stage.job()
        assert (job.state, len(cloud.sought), len(cloud.sent)) == ("in_doubt", 5, 1)
        assert job.reason == "a dry run did not tell"


async def test_a_doubt_that_never_clears_is_failed_at_its_deadline_for_a_person(tmp_path: Path) -> None:
    async with in_doubt(tmp_path, Unclear("a dry run did not tell")) as (stage, cloud):
        await looked_into(stage)
        stage.clock.jump(3600)
        await stage.sweep()
        job = await stage.job()
        assert (job.state, len(cloud.sent)) == ("failed", 1)
        assert job.reason == (
            "given up: it stayed unclear whether the cloud carried the request out; "
            "look there before retrying it by hand. Last: a dry run did not tell"
        )


async def test_a_find_that_could_not_ask_proves_nothing(tmp_path: Path) -> None:
    troubles: tuple[Exception, ...] = (
        CircuitOpen("prod", "its keys were refused"),
        Refused(Answer("throttled", "too fast", "RequestLimitExceeded", "r-4")),
    )
    async with in_doubt(tmp_path, *troubles, Absent("none")) as (stage, _):
        await looked_into(stage, 3)
        assert (await stage.job()).state == "in_doubt"


async def test_sends_are_bounded_even_if_each_is_proved_absent(tmp_path: Path) -> None:
    async with in_doubt(tmp_path, answers=(LOST,)) as (stage, cloud):
        for _ in range(3):
            await looked_into(stage, 2)
            await stage.until_due()
            await stage.submit()
        job = await stage.job()
        assert (job.state, len(cloud.sent)) == ("failed", 3)
        assert job.reason == "given up after 3 attempts: nothing there"


async def test_what_is_found_late_belongs_to_the_job_once_more_than_one_doubt_has_passed(tmp_path: Path) -> None:
    looks = (Absent("none"), Absent("none"), Found("task-1", "found by its objects"))
    async with in_doubt(tmp_path, *looks, answers=(LOST, LOST)) as (stage, cloud):
        await looked_into(stage, 2)
        await stage.submit()
        await looked_into(stage)
        assert ((await stage.job()).task_ref, len(cloud.sent)) == ("task-1", 2)


async def died_in_mid_request(_job: Any) -> None:
    raise RuntimeError("killed")


async def raises(kind: type[Exception], act: Callable[[], Any]) -> None:
    """Carry out ``act``; the error comes out of a task group."""
    try:
        await act()
    except BaseExceptionGroup as group:
        assert group.subgroup(kind) is not None  # noqa: PT017 - pytest.raises knows no groups of groups
    else:
        raise AssertionError(f"{kind.__name__} was not raised")
