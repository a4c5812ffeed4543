"""Every wait has an end, and every end its reason; on one clock that the steps alone move."""

from __future__ import annotations

from pathlib import Path

from imageferry.core.account import Timeouts
from imageferry.core.times import SECOND
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from support.faults import COPY_ALL, EXPORT_ALL, accepted_once, decided, rehearsed, walked
from support.rehearsals import image

SHORT = {"timeouts": Timeouts(request=5, settle=90, image=600, export=900, copy=900)}
LIMIT = "LimitExceeded.ExportImageTaskLimitExceeded"
BUSY = "InvalidParameterValue.InvalidImageState"


async def test_an_image_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT) as (stage, cloud):
        img = image(cloud, ready_seconds=1e9)
        begun = stage.clock.now()
        await stage.sight(img)
        for _ in range(30):
            await stage.look(EXPORT_ALL)
            stage.clock.jump(30)
        [row] = await stage.ledger.image(img)
        assert (row.outcome, row.due_at) == ("expired", None)
        assert row.reason == "given up after 0.166667 h: the image is not ready yet"
        assert row.looked_at is not None
        assert 600 <= (row.looked_at - begun) / SECOND <= 660


async def test_quota_that_never_gets_free_fails_the_job_with_the_vendors_reason(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT, exports_running=0) as (stage, cloud):
        await decided(stage, image(cloud))
        [job] = await walked(stage)
        assert (job.state, job.klass, job.vendor_code, job.attempts) == ("failed", "wait_quota", LIMIT, 0)
        assert job.reason.startswith(f"given up: it could not be submitted in time. Last: {LIMIT}: ")
        assert job.ended_at is not None
        assert 900 <= (job.ended_at - job.created_at) / SECOND <= 960


async def test_an_image_that_stays_busy_fails_the_job_with_the_vendors_reason(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(Misbehaviour(fault="code", code=BUSY, action="ExportImages"))
        [job] = await walked(stage)
        assert (job.state, job.klass, job.vendor_code) == ("failed", "wait_image", BUSY)
        assert job.ended_at is not None
        assert 600 <= (job.ended_at - job.created_at) / SECOND <= 660


async def test_a_doubt_that_never_clears_fails_the_job_without_a_second_request(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(Misbehaviour(fault="drop", action="ExportImages", dry_runs=False, count=1))
        cloud.misbehave(Misbehaviour(fault="code", code="InternalError", action="ExportImages"))
        [job] = await walked(stage)
        assert (job.state, job.sends, job.klass) == ("failed", 1, "retry")
        assert job.reason.startswith("given up: it stayed unclear whether the cloud carried the request out; ")
        assert "InternalError" in job.reason


async def test_an_export_that_leaves_nothing_is_asked_for_once_more_and_then_failed(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(Misbehaviour(fault="task_fails"))
        [job] = await walked(stage, 400)
        assert (job.state, len(cloud.tasks)) == ("failed", 2)
        assert job.reason == "twice: the task ended, but 0 of 1 objects are there"


async def test_an_export_that_left_nothing_once_succeeds_at_the_second_try(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(Misbehaviour(fault="task_fails", count=1))
        [job] = await walked(stage, 400)
        assert (job.state, len(cloud.tasks)) == ("succeeded", 2)


async def test_storage_that_nobody_may_read_fails_the_job_at_its_deadline(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT, unreadable_buckets=["archive-1250000000"]) as (stage, cloud):
        await decided(stage, image(cloud))
        [job] = await walked(stage, 400)
        assert (job.state, job.klass) == ("failed", "permanent_config")
        assert job.reason.startswith("the objects cannot be looked at: the storage answered HTTP 403")
        assert job.ended_at is not None
        assert 900 <= (job.ended_at - job.created_at) / SECOND <= 1000


async def test_storage_that_never_answers_sense_is_given_up_in_the_end(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT) as (stage, cloud):
        await decided(stage, image(cloud))
        cloud.misbehave(Misbehaviour(fault="status", status=500, action=HEAD_OBJECT))
        [job] = await walked(stage, 400)
        assert (job.state, job.klass) == ("failed", "retry")
        assert job.reason.startswith("given up: the objects cannot be looked at: ")


async def test_a_copy_that_never_ends_is_given_up(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, changes=SHORT, copy_seconds=1e9) as (stage, cloud):
        await decided(stage, image(cloud), COPY_ALL)
        [job] = await walked(stage, 400)
        assert (job.state, len(accepted_once(cloud))) == ("failed", 1)
        assert job.reason == f"given up: the new image {job.task_ref} in ap-shanghai is not ready yet"
