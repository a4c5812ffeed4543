"""Solving a doubt, line by line, at the rehearsal cloud; what no rehearsal can bring about is in the unit tests.

One clock for both sides, moved by the steps alone: an hour of doubts takes no time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from imageferry.core.account import Timeouts
from imageferry.core.facts import KindLimit
from imageferry.flow.steer import retry
from imageferry.ports import Move
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from support.faults import (
    COPY,
    COPY_ALL,
    EXPORT,
    EXPORT_ALL,
    STEPPED,
    accepted_once,
    decided,
    looked_into,
    rehearsed,
    walked,
)
from support.ledgers import new_job
from support.policies import policies, policy
from support.rehearsals import BUCKET, OTHER_REGION, image
from support.stages import adapter, staged

SECOND = 1_000_000
OTHER_BUCKET = "second-1250000000"
TO_BOTH = policies(policy("archive", EXPORT), policy("second", {"export": {"bucket": OTHER_BUCKET}}))
BUSY = "InvalidParameterValue.InvalidImageState"

UNANSWERED = (
    Misbehaviour(fault="drop", action="ExportImages", dry_runs=False, count=1),
    Misbehaviour(fault="status", status=503, action="ExportImages", dry_runs=False, count=1),
    Misbehaviour(fault="garbage", action="ExportImages", dry_runs=False, count=1),
)


def dropped(action: str = "ExportImages", **more: object) -> Misbehaviour:
    """The first such request gets no answer; dry runs are let through."""
    return Misbehaviour(**{"fault": "drop", "action": action, "dry_runs": False, "count": 1, **more})  # type: ignore[arg-type] # its own fields


def unseen(fault: Misbehaviour) -> Misbehaviour:
    """The same fault, with the work done all the same."""
    return Misbehaviour(
        fault=fault.fault, status=fault.status, action=fault.action, dry_runs=False, count=1, work="done"
    )


async def test_an_image_in_doubt_is_held_against_its_other_jobs(tmp_path: Path) -> None:
    """One lock per image over exports and copies, held in submitting, in_doubt and running."""
    async with rehearsed(tmp_path, concurrent_copies=True) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img, policies(policy("both", EXPORT, COPY)))
        cloud.misbehave(dropped(work="late", after=60))
        await stage.submit("export")
        await stage.submit("copy")
        assert cloud.requests.asked("SyncImages") == 0
        jobs = await walked(stage)
        assert [job.state for job in jobs] == ["succeeded", "succeeded"]
        assert cloud.requests.answered(BUSY, "SyncImages") == 0
        assert accepted_once(cloud) == {(img, BUCKET), (img, OTHER_REGION)}


async def test_the_probe_that_sees_a_running_task_comes_before_the_look_for_the_object(tmp_path: Path) -> None:
    """A probe that can see a running task comes before the look for the object."""
    async with rehearsed(tmp_path) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(dropped(work="done"))
        await stage.submit()
        before = len(cloud.requests.last)
        await looked_into(stage)
        asked = [each.action for each in list(cloud.requests.last)[before:]]
        assert (asked[0], set(asked[1:])) == ("ExportImages", {HEAD_OBJECT})


async def test_a_task_that_ends_while_it_is_looked_for_does_not_look_absent(tmp_path: Path) -> None:
    """The other way round a task that ends in between looks absent."""
    async with rehearsed(tmp_path, export_seconds=100) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(dropped(work="done"))
        await stage.submit()
        cloud.misbehave(Misbehaviour(fault="slow", after=20, count=2))
        await looked_into(stage)
        assert (await stage.job()).memo.get("absent", 0) == 0
        [job] = await walked(stage)
        assert (job.state, job.sends, len(accepted_once(cloud))) == ("succeeded", 1, 1)


async def test_what_predicts_the_objects_name_was_stored_before_sending(tmp_path: Path) -> None:
    """What predicts the object's name (snapshot ids) is stored before sending."""
    async with rehearsed(tmp_path) as (stage, cloud):
        img = image(cloud, data_disks_gib=(10, 10))
        await decided(stage, img)
        cloud.misbehave(dropped(work="done"))
        await stage.submit()
        assert sorted((await stage.job()).request["keys"]) == sorted(cloud.tasks[0].objects)
        cloud.remove_image("ap-guangzhou", img)
        [job] = await walked(stage)
        assert (job.state, len(job.object_keys), cloud.requests.answered("ok", "ExportImages")) == ("succeeded", 3, 0)


@pytest.mark.parametrize("fault", UNANSWERED, ids=lambda fault: fault.fault)
async def test_unanswered_work_is_found_and_never_repeated(tmp_path: Path, fault: Misbehaviour) -> None:
    """A 5xx or an unreadable 200 to a submit is unanswered."""
    async with rehearsed(tmp_path) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img)
        cloud.misbehave(unseen(fault))
        await stage.submit()
        assert ((await stage.job()).state, (await stage.job()).klass) == ("in_doubt", "unanswered")
        [job] = await walked(stage)
        assert (job.state, job.sends, accepted_once(cloud)) == ("succeeded", 1, {(img, BUCKET)})


@pytest.mark.parametrize("fault", UNANSWERED, ids=lambda fault: fault.fault)
async def test_unanswered_work_that_was_never_done_is_sent_again_once(tmp_path: Path, fault: Misbehaviour) -> None:
    """A 5xx or an unreadable 200 to a submit is unanswered: absent twice, and only then sent again."""
    async with rehearsed(tmp_path) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img)
        cloud.misbehave(fault)
        await stage.submit()
        [job] = await walked(stage)
        assert (job.state, job.sends, accepted_once(cloud)) == ("succeeded", 2, {(img, BUCKET)})


async def test_no_http_client_sends_a_request_again_by_itself(tmp_path: Path) -> None:
    """No HTTP client may resend by itself."""
    async with rehearsed(tmp_path) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(dropped(count=None))
        await stage.submit()
        assert cloud.requests.asked("ExportImages") == 1


async def test_each_try_has_a_date_of_its_own(tmp_path: Path) -> None:
    """Each try has a new date: the cloud refuses one that is more than five minutes old."""
    late = {"timeouts": Timeouts(request=5, settle=600, image=7200, export=7200)}
    async with rehearsed(tmp_path, changes=late) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(dropped())
        await stage.submit()
        [job] = await walked(stage)
        assert (job.state, job.sends, cloud.requests.answered("AuthFailure")) == ("succeeded", 2, 0)


async def test_a_request_that_found_no_connection_was_never_sent(tmp_path: Path) -> None:
    """What failed before the submit was sent is never_sent: no doubt, no attempt."""
    async with staged(tmp_path, adapter, **STEPPED) as stage:
        await stage.planned(new_job())
        await stage.submit()
        job = await stage.job()
        assert (job.state, job.klass, job.attempts) == ("planned", "never_sent", 0)


async def test_a_retry_answer_to_a_submit_is_looked_into_like_an_unanswered_one(tmp_path: Path) -> None:
    """A ``retry`` answer to a submit is looked into like an unanswered one."""
    async with rehearsed(tmp_path) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(dropped(fault="code", code="InternalError"))
        await stage.submit()
        assert ((await stage.job()).state, (await stage.job()).vendor_code) == ("in_doubt", "InternalError")
        [job] = await walked(stage)
        assert (job.state, job.sends) == ("succeeded", 2)
        outcomes = [each.outcome for each in cloud.requests.last if each.action == "ExportImages"]
        assert outcomes == ["InternalError", "ok", "ok", "ok"]


async def test_another_jobs_export_of_the_same_image_is_not_adopted(tmp_path: Path) -> None:
    """Another job's export of the same image (to a second bucket) must not be adopted."""
    async with rehearsed(tmp_path, buckets={BUCKET: "ap-guangzhou", OTHER_BUCKET: "ap-guangzhou"}) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img, TO_BOTH)
        cloud.misbehave(dropped(destination=OTHER_BUCKET))
        jobs = await walked(stage)
        assert [(job.destination, job.state, job.sends) for job in jobs] == [
            (BUCKET, "succeeded", 1),
            (OTHER_BUCKET, "succeeded", 2),
        ]
        assert accepted_once(cloud) == {(img, BUCKET), (img, OTHER_BUCKET)}


async def test_an_object_of_an_earlier_life_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    """``find`` is given the time of the first unresolved send: an object that is older was not made by it."""
    async with rehearsed(tmp_path) as (stage, cloud):
        await decided(stage, image(cloud))
        await stage.submit()
        [job] = await stage.jobs()
        await stage.site.carry_out([Move(job=job, to="failed", reason="given up by a test")])
        stage.clock.jump(600)
        cloud.misbehave(dropped())
        await retry(stage.ledger, stage.clock, {}, job.id)
        [job] = await walked(stage)
        assert (job.state, job.attempt, len(cloud.tasks)) == ("succeeded", 2, 2)


async def test_busy_after_a_doubt_is_our_own_lost_task_and_is_found(tmp_path: Path) -> None:
    """ "Busy" after a doubt may be our own lost task or another's: look again before waiting."""
    async with rehearsed(tmp_path, export_seconds=60) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img)
        cloud.misbehave(dropped(work="late", after=200))
        await stage.submit()
        await looked_into(stage, 2)
        assert (await stage.job()).state == "planned"
        stage.clock.jump(100)
        await stage.submit()
        assert ((await stage.job()).state, (await stage.job()).vendor_code) == ("in_doubt", BUSY)
        [job] = await walked(stage)
        assert (job.state, job.task_ref.partition(":")[0], accepted_once(cloud)) == (
            "succeeded",
            "found",
            {(img, BUCKET)},
        )


async def test_busy_after_a_doubt_may_be_anothers_and_then_the_job_waits_its_turn(tmp_path: Path) -> None:
    """ "Busy" after a doubt may be our own lost task or another's: look again before waiting."""
    async with rehearsed(tmp_path) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img)
        cloud.misbehave(dropped())
        await stage.submit()
        await looked_into(stage, 2)
        cloud.misbehave(Misbehaviour(fault="code", code=BUSY, action="ExportImages", count=4))
        [job] = await walked(stage)
        assert (job.state, job.sends, accepted_once(cloud)) == ("succeeded", 3, {(img, BUCKET)})


async def test_tasks_in_doubt_fill_slots_so_that_the_cloud_never_has_to_refuse_one(tmp_path: Path) -> None:
    """Jobs in doubt count as running tasks, or slots are over-claimed."""
    two = {"limits": {"export": KindLimit(20, running=2), "copy": KindLimit(10), "read": KindLimit(40)}}
    async with rehearsed(tmp_path, changes=two, exports_running=2, export_seconds=300) as (stage, cloud):
        ids = [image(cloud) for _ in range(4)]
        cloud.misbehave(dropped(work="done", count=3))
        await stage.sight(*ids)
        await stage.look(EXPORT_ALL)
        jobs = await walked(stage, 300)
        assert {job.state for job in jobs} == {"succeeded"}
        assert cloud.requests.answered("LimitExceeded") == 0
        assert accepted_once(cloud) == {(img, BUCKET) for img in ids}


async def test_a_lost_export_that_ends_while_its_job_waits_its_turn_is_found_before_it_is_sent_again(
    tmp_path: Path,
) -> None:
    """Where a dry run does not see a task that runs, its objects are looked for once more just before a resend."""
    async with rehearsed(tmp_path, dry_run_sees_busy=False, export_seconds=200) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img)
        cloud.misbehave(dropped(work="done"))
        await stage.submit()
        await looked_into(stage, 2)
        assert (await stage.job()).state == "planned"
        stage.clock.jump(200)
        [job] = await walked(stage)
        assert (job.state, job.sends, accepted_once(cloud)) == ("succeeded", 2, {(img, BUCKET)})


async def test_an_unanswered_copy_is_found_by_its_name(tmp_path: Path) -> None:
    """A job-unique name makes a copy findable: it is found, and never repeated."""
    async with rehearsed(tmp_path) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img, COPY_ALL)
        cloud.misbehave(dropped("SyncImages", work="done"))
        await stage.submit("copy")
        [job] = await walked(stage)
        assert (job.state, job.task_ref, job.sends) == ("succeeded", cloud.tasks[0].new_image_id, 1)
        assert accepted_once(cloud) == {(img, OTHER_REGION)}


async def test_an_unanswered_copy_that_was_never_begun_is_absent_at_two_looks(tmp_path: Path) -> None:
    """Where a name is the only guard, "absent" needs two looks apart."""
    async with rehearsed(tmp_path) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img, COPY_ALL)
        cloud.misbehave(dropped("SyncImages"))
        await stage.submit("copy")
        await looked_into(stage)
        first = stage.clock.now()
        assert (await stage.job()).state == "in_doubt"
        await looked_into(stage)
        assert ((await stage.job()).state, stage.clock.now() - first >= 20 * SECOND) == ("planned", True)
        [job] = await walked(stage)
        assert (job.state, job.sends, accepted_once(cloud)) == ("succeeded", 2, {(img, OTHER_REGION)})


async def test_a_lost_copy_that_is_seen_to_have_failed_ends_the_doubt(tmp_path: Path) -> None:
    """A lost task that is seen to have failed ends the doubt."""
    async with rehearsed(tmp_path) as (stage, cloud):
        await decided(stage, image(cloud), COPY_ALL)
        cloud.misbehave(Misbehaviour(fault="task_fails", action="SyncImages"))
        cloud.misbehave(dropped("SyncImages", work="done"))
        await stage.submit("copy")
        await looked_into(stage)
        job = await stage.job()
        assert (job.state, job.reason) == ("failed", f"the copy {cloud.tasks[0].id} was begun and has failed")
        assert (job.sends, len(accepted_once(cloud))) == (1, 1)


async def test_a_doubt_survives_a_restart_and_still_rests_from_its_send(tmp_path: Path) -> None:
    """The settling time counts from the stored send, over restarts."""
    async with rehearsed(tmp_path) as (stage, cloud):
        img = image(cloud)
        await decided(stage, img)
        cloud.misbehave(dropped(work="done"))
        await stage.submit()
        sent_at = stage.clock.now()
        url = stage.site.account.endpoint
        clock = stage.clock
        (tmp_path / "again").mkdir()
        (tmp_path / "again" / "ledger.db").write_bytes((tmp_path / "ledger.db").read_bytes())
        (tmp_path / "again" / "ledger.db-wal").write_bytes((tmp_path / "ledger.db-wal").read_bytes())
        clock.jump(60)
        async with staged(tmp_path / "again", adapter, clock=clock, base_url=url, **STEPPED) as later:
            await later.ledger.recover("prod", "ap-guangzhou", clock.now(), clock.now())
            job = await later.until_due()
            assert 89 <= (job.due_at - sent_at) / SECOND <= 91
            [job] = await walked(later)
            assert (job.state, job.sends, accepted_once(cloud)) == ("succeeded", 1, {(img, BUCKET)})
