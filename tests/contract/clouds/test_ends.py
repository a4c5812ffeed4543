"""What every cloud tells of how a task ends: failed, without its object, with one that is late, or vanished."""

from __future__ import annotations

import pytest

from imageferry.core.account import Timeouts
from imageferry.core.job import ActionKind
from support.trials import KINDS, Begin, named

SHORT = {"timeouts": Timeouts(request=5, settle=90, image=600, export=300, copy=300)}
NEW = 600.0
"""Seconds after its event for which a cloud may say of an image that is there that it is not."""
AT_MOST = 2
"""A task that ended without a result is asked for once more, and only once."""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_task_that_fails_is_told_as_failed(begin: Begin, kind: ActionKind) -> None:
    async with begin(account=SHORT) as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave("task_fails", kind)
        [job] = await trial.walked()
        assert job.state == "failed"
        assert job.reason
        assert 1 <= trial.accepted[kind, image_id, trial.target(kind)] <= AT_MOST


async def test_an_export_that_fails_once_may_succeed_the_second_time_and_names_what_is_there(begin: Begin) -> None:
    async with begin(account=SHORT) as trial:
        await trial.job_of("export")
        trial.misbehave("task_fails", "export", count=1)
        [job] = await trial.walked()
        assert job.state in ("succeeded", "failed")
        assert job.state == "failed" or named([job]) == trial.written
        assert sum(trial.accepted.values()) == job.sends <= AT_MOST


async def test_an_object_that_is_missing_at_the_end_is_exported_once_more(begin: Begin) -> None:
    async with begin(account=SHORT) as trial:
        image_id = await trial.job_of("export")
        trial.misbehave("object_missing", "export", count=1)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == {("export", image_id, trial.bucket): 2}
        assert named([job]) == trial.written


@pytest.mark.parametrize("fault", ["object_missing", "object_empty"])
async def test_an_object_that_never_comes_ends_in_failure_and_is_not_asked_for_for_ever(
    begin: Begin, fault: str
) -> None:
    async with begin(account=SHORT) as trial:
        image_id = await trial.job_of("export")
        trial.misbehave(fault, "export")
        [job] = await trial.walked(1000)
        assert job.state == "failed"
        assert 1 <= trial.accepted["export", image_id, trial.bucket] <= AT_MOST


@pytest.mark.parametrize("fault", ["object_late", "object_grows"])
async def test_an_object_that_is_late_or_grows_is_waited_for_until_it_is_whole(begin: Begin, fault: str) -> None:
    async with begin() as trial:
        image_id = await trial.job_of("export")
        trial.misbehave(fault, "export", after=40.0)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once(("export", image_id, trial.bucket))
        whole = {each["key"]: each["size"] for each in trial.cloud.state(["objects"])["objects"]}
        assert job.reason.find(str(sum(whole.values()))) > 0


async def test_every_disk_is_exported_where_the_cloud_can(begin: Begin) -> None:
    async with begin() as trial:
        image_id = trial.image(data_disks_gib=(10, 10))
        wanted = {**trial.entry.options.get("export", {}), **trial.entry.every_disk, "bucket": trial.bucket}
        await trial.decided(trial.policies({"export": wanted}), image_id)
        [job] = await trial.walked()
        assert (job.state, len(trial.written)) == ("succeeded", 3 if trial.entry.every_disk else 1)
        assert named([job]) <= trial.written  # a cloud may name the system disk's object alone


@pytest.mark.parametrize("how", ["copy_never_shows", "copy_shows_failed"])
async def test_a_copy_that_fails_is_told_however_it_shows(begin: Begin, how: str) -> None:
    async with begin(account=SHORT) as trial:
        await trial.job_of("copy")
        trial.cloud.change(getattr(trial.entry, how))
        trial.misbehave("task_fails", "copy")
        [job] = await trial.walked(1000)
        assert job.state == "failed"
        assert 1 <= sum(trial.accepted.values()) <= AT_MOST


async def test_a_copy_that_somebody_deletes_meanwhile_is_told_or_made_once_more(begin: Begin) -> None:
    """Once more only where the cloud has forgotten the task, so that nothing tells that it has been there."""
    async with begin(copy_seconds=100.0, account=SHORT) as trial:
        await trial.job_of("copy")
        await trial.stage.submit("copy")
        for _ in range(2):
            await trial.stage.until_due()
            await trial.stage.follow()
        assert (await trial.stage.job()).state == "running"
        trial.cloud.remove_image(trial.entry.other_region, trial.cloud.tasks[0].new_image_id)
        [job] = await trial.walked(1000)
        assert (job.state, sum(trial.accepted.values())) in {("failed", 1), ("succeeded", 2)}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_that_is_deleted_before_its_task_is_told_as_failed(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.cloud.remove_image(trial.entry.region, image_id)
        trial.stage.clock.jump(NEW)
        [job] = await trial.walked()
        assert (job.state, job.klass, trial.accepted) == ("failed", "permanent_image", {})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_task_that_cannot_be_looked_at_runs_on_until_it_can(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        await trial.stage.submit(kind)
        for api in (*trial.entry.reads, "HeadObject"):
            trial.misbehave("status", api, status=503, count=3)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))
