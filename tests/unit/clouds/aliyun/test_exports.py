from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from imageferry.clouds.aliyun.adapter import AliyunCloud
from imageferry.clouds.aliyun.exports import SINCE
from imageferry.core.answers import Answer
from imageferry.core.image import Image, Place
from imageferry.core.job import Job, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Absent, Accepted, Following, Found, Lost, Unclear
from imageferry.telemetry.metrics import Metrics
from support.aliyun_rehearsals import BUCKET, FORMATTING, REGION, calling, image
from support.aliyun_stages import NOWHERE, aliyun_account, new_job, staged
from support.clocks import START, FakeClock
from support.gates import OpenGate
from support.sockets import Peer, listening

OTHER_BUCKET = "second-hangzhou"
BUCKETS = {BUCKET: REGION, OTHER_BUCKET: REGION}
ROLE = "AliyunECSImageExportDefaultRole"


def prefix(job: Job) -> str:
    return str(job.request["prefix"])


# --- freezing ------------------------------------------------------------------------------------------------------


async def test_an_export_is_frozen_with_the_prefix_that_marks_it() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server, data_disks_gib=(10, 20)), prefix="prod", role=ROLE)
    whole = f"prod{unique_part(job.key)}"
    assert job.request == {
        "params": {"ImageId": job.image_id, "OSSBucket": BUCKET, "OSSPrefix": whole, "RoleName": ROLE},
        "prefix": whole,
        "objects": 3,
    }


@pytest.mark.parametrize(("form", "sent"), [("raw", None), (None, None), ("qcow2", "qcow2"), ("vhd", "vhd")])
async def test_only_another_format_than_the_vendors_own_is_sent(form: str | None, sent: str | None) -> None:
    async with staged() as stage:
        job = await stage.export(**({"format": form} if form else {}))
    assert job.request["params"].get("ImageFormat") == sent


@pytest.mark.parametrize("attempt", [1, 2, 999, 1000])
async def test_every_life_of_a_job_has_a_prefix_of_its_own_that_fits_the_vendors_rule(attempt: int) -> None:
    async with staged() as stage:
        first = await stage.export(prefix="x" * 14)
        frozen = stage.ready(replace(first, attempt=attempt), await stage.image(first.image_id))
    assert re.fullmatch("[A-Za-z0-9]{1,30}", prefix(frozen))
    assert (prefix(frozen) == prefix(first)) is (attempt == 1)


# --- submitting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [{}, {"task_id_key": "ExportTaskId"}, {"task_id_prefix": "tsk"}])
async def test_an_accepted_export_tells_task_and_request(shape: dict[str, Any]) -> None:
    async with staged(**shape) as stage:
        accepted = await stage.submit(await stage.export())
        [task] = stage.server.tasks
    assert accepted == Accepted(task.id, task.request_id)
    assert stage.permit.answer == Answer("ok", "", request_id=task.request_id)


async def test_a_success_that_names_no_task_proves_nothing() -> None:
    async with staged(dry_run_shape="answer") as stage:
        job = await stage.export()
        params = {**job.request["params"], "DryRun": "true"}
        answer = await stage.refused(replace(job, request={**job.request, "params": params}))
    assert (answer.klass, answer.message) == ("unanswered", "the answer names no task")


REFUSALS = [
    ("MissingParameter", "permanent_config"),
    ("InvalidOSSPrefix.Malformed", "permanent_config"),
    ("InvalidImageFormat.Malformed", "permanent_config"),
    ("InvalidImageFormat.RegionNotSupported", "permanent_config"),
    ("InvalidRegionId.NotFound", "permanent_config"),
    ("InvalidRegion.NotSupport", "permanent_config"),
    ("InvalidOSSBucket.NotFound", "permanent_config"),
    ("InvalidOSSBucket.NotMatched", "permanent_config"),
    ("InvalidOSSBucket.EncryptUnsupported", "permanent_config"),
    ("InvalidOSSObject.NeedRestore", "permanent_config"),
    ("InvalidOSS.NotAuthorized", "permanent_config"),
    ("NoSetRoletoECSServiceAcount", "permanent_config"),
    ("NoSetRoletoECSServiceAccount", "permanent_config"),
    ("UserNotInTheWhiteList", "permanent_config"),
    ("InvalidImageName.Malformed", "permanent_image"),
    ("ImageNotSupported", "permanent_image"),
    ("InvalidImageCategory.NotSupported", "permanent_image"),
    ("InvalidImageLicense.NotSupported", "permanent_image"),
    ("OperationDenied", "permanent_image"),
    ("InvalidImage.DiskAmountOrSize", "permanent_image"),
    ("ImageIsExporting", "wait_image"),
    ("ConcurrentQuotaExceed.ExportImage", "wait_quota"),
    ("WeeklyQuotaExceed.ExportImage", "wait_quota"),
    ("ExportImageFailed", "retry"),
    ("InternalError", "retry"),
    ("ServiceUnavailable", "retry"),
    ("Throttling.User", "throttled"),
    ("Forbidden.RAM", "auth"),
    ("Account.Arrearage", "permanent_config"),
]


@pytest.mark.parametrize(("code", "klass"), REFUSALS)
async def test_every_documented_refusal_comes_back_with_its_class_and_request_id(code: str, klass: Any) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code=code, message="the vendor's words")
        answer = await stage.refused(job)
        request = next(each for each in reversed(stage.server.requests.last) if each.action == "ExportImage")
    assert (answer.klass, answer.vendor_code, answer.request_id) == (klass, code, request.request_id)
    assert answer.message.startswith("the vendor's words")


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"platform": "Windows"}, "InvalidImageLicense.NotSupported"),
        ({"encrypted": True}, "ImageNotSupported"),
        ({"data_disks_gib": (1,) * 5}, "InvalidImage.DiskAmountOrSize"),
        ({"data_disks_gib": (501,)}, "InvalidImage.DiskAmountOrSize"),
        ({"market_derived": True}, "ImageNotSupported"),
        ({"extra": {"unfit_origin": True}}, "InvalidImageCategory.NotSupported"),
        ({"extra": {"data_disks_locked": True}}, "OperationDenied"),
    ],
)
async def test_what_the_cloud_never_exports_is_the_images_fault(facts: dict[str, Any], code: str) -> None:
    async with staged() as stage:
        answer = await stage.refused(await stage.export(image(stage.server, **facts)))
    assert (answer.klass, answer.vendor_code) == ("permanent_image", code)


@pytest.mark.parametrize(
    "changes",
    [
        {"encrypted_buckets": [BUCKET]},
        {"unwritable_buckets": [BUCKET]},
        {"roles": []},
        {"buckets": {}},
        {"buckets": {BUCKET: "cn-shanghai"}},
    ],
)
async def test_a_bucket_or_role_that_cannot_be_used_is_the_configs_fault(changes: dict[str, Any]) -> None:
    async with staged(**changes) as stage:
        assert (await stage.refused(await stage.export())).klass == "permanent_config"


async def test_a_limit_of_running_exports_teaches_the_lane() -> None:
    async with staged(exports_running=1) as stage:
        await stage.running(await stage.export())
        answer = await stage.refused(await stage.export())
    assert (answer.klass, answer.about_running) == ("wait_quota", True)


async def test_a_busy_image_is_waited_for() -> None:
    async with staged(buckets=BUCKETS) as stage:
        job = await stage.running(await stage.export())
        answer = await stage.refused(await stage.export(job.image_id, OTHER_BUCKET))
    assert (answer.klass, answer.vendor_code) == ("wait_image", "ImageIsExporting")


# --- solving a doubt -----------------------------------------------------------------------------------------------


SHAPES: list[dict[str, Any]] = [
    {},
    {"wrappers": "list"},
    {"short_times": True},
    {"task_action_form": "EXPORT_IMAGE"},
    {"one_entry": True},
    {"waiting_word": "Waiting"},
    {"shows_resource_id": False},
    {"key_form": "{prefix}_{image}_{task}"},
    {"key_form": "{prefix}_{image}_{task}_{disk}"},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("later", [1, 400])
async def test_a_lost_export_is_found_by_the_name_of_its_object(shape: dict[str, Any], later: int) -> None:
    async with staged(**shape) as stage:
        job = await stage.lost(await stage.export())
        stage.clock.jump(later)
        found = await stage.find(job)
        [task] = stage.server.tasks
    assert found == Found(task.id, f"found by the name of its object: {task.id}", task.objects)


@pytest.mark.parametrize("shown", ["finished", "never"])
@pytest.mark.parametrize("resource", [True, False])
async def test_a_task_that_does_not_name_its_object_yet_keeps_the_doubt_open(shown: str, *, resource: bool) -> None:
    async with staged(objects_shown=shown, shows_resource_id=resource) as stage:
        job = await stage.lost(await stage.export())
        running = await stage.find(job)
        stage.clock.jump(60)
        ended = await stage.find(job)
        [task] = stage.server.tasks
    assert isinstance(running, Unclear)
    assert isinstance(ended, Found)
    assert (ended.task_ref == task.id, ended.object_keys) == (shown == "finished" or resource, task.objects)


@pytest.mark.parametrize("kept", [0.0, 30.0])
async def test_a_task_that_the_cloud_has_forgotten_is_known_by_its_object(kept: float) -> None:
    async with staged(task_kept_seconds=kept) as stage:
        job = await stage.lost(await stage.export())
        stage.clock.jump(60)
        found = await stage.find(job)
        assert isinstance(found, Found)
        assert found.object_keys == stage.server.tasks[0].objects
        job = stage.as_running(job, found.task_ref, found.object_keys)
        told = await stage.ends(job)
    assert (told.verdict, told.object_keys) == ("succeeded", found.object_keys)


@pytest.mark.parametrize("shape", [{}, {"objects_shown": "never"}, {"objects_shown": "finished"}])
async def test_a_lost_export_that_was_found_is_followed_to_its_success(shape: dict[str, Any]) -> None:
    async with staged(**shape) as stage:
        job = await stage.lost(await stage.export(image(stage.server, data_disks_gib=(10,))))
        stage.clock.jump(10)
        found = await stage.find(job)
        assert isinstance(found, Found)
        told = await stage.ends(stage.as_running(job, found.task_ref, found.object_keys))
        [task] = stage.server.tasks
    assert told.verdict == "succeeded"
    assert sorted(told.object_keys or ()) == sorted(task.objects)


async def test_an_export_that_was_done_late_is_found() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("drop", work="late", after=2.0, count=1)
        await stage.submit(job)
        assert isinstance(await stage.find(job), Absent)
        stage.clock.jump(4)
        assert isinstance(await stage.find(job), Found)


async def test_an_export_that_never_began_is_absent_and_wants_a_second_look() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("drop", count=1)
        await stage.submit(job)
        found = await stage.find(job)
        assert stage.gate.entered[-1] == (REGION, "read")
    assert found == Absent("no export with our prefix is listed since, and no object bears it")


async def test_where_the_bucket_may_not_be_listed_the_list_of_tasks_decides() -> None:
    async with staged(storage_lists=False) as stage:
        assert isinstance(await stage.find(await stage.export()), Absent)


async def test_a_finished_task_that_may_be_ours_stays_unclear_where_the_bucket_may_not_be_listed() -> None:
    async with staged(storage_lists=False, objects_shown="never") as stage:
        job = await stage.lost(await stage.export())
        stage.clock.jump(60)
        assert isinstance(await stage.find(job), Unclear)


async def test_a_storage_that_does_not_answer_leaves_the_doubt_open() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("status", "HeadObject", status=503)
        assert isinstance(await stage.find(job), Unclear)


async def test_a_task_that_cannot_be_looked_at_leaves_the_doubt_open() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.export())
        stage.misbehave("status", "DescribeTaskAttribute", status=503, count=1)
        found = await stage.find(job)
        assert isinstance(found, Unclear)
        assert isinstance(await stage.find(job), Found)


async def test_a_list_that_is_not_answered_is_told() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("status", "DescribeTasks", status=503, count=1)
        with pytest.raises(Refused):
            await stage.find(job)


async def test_what_another_job_owns_is_never_adopted() -> None:
    async with staged(objects_shown="never") as stage:
        job = await stage.lost(await stage.export())
        [task] = stage.server.tasks
        assert isinstance(await stage.find(job), Unclear)
        assert isinstance(await stage.find(job, task.id), Absent)


async def test_a_task_of_the_jobs_own_that_has_ended_is_never_adopted_again() -> None:
    async with staged() as stage:
        stage.misbehave("object_missing", count=1)
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        assert isinstance(await stage.find(job), Absent)
        assert isinstance(await stage.find(replace(job, task_ref="")), Found)


@pytest.mark.parametrize("shown", ["always", "finished", "never"])
async def test_an_export_of_the_same_image_to_another_bucket_is_not_ours(shown: str) -> None:
    async with staged(buckets=BUCKETS, concurrent_exports=True, objects_shown=shown) as stage:
        other = await stage.running(await stage.export())
        job = await stage.export(other.image_id, OTHER_BUCKET)
        assert isinstance(await stage.find(job, other.task_ref), Absent)
        await stage.lost(job)
        stage.clock.jump(60)
        found = await stage.find(job, other.task_ref)
        assert isinstance(found, Found)
        assert (found.task_ref, len(stage.server.tasks)) == (stage.server.tasks[1].id, 2)


async def test_a_foreign_export_of_the_same_image_and_bucket_is_not_ours() -> None:
    async with staged(concurrent_exports=True) as stage:
        job = await stage.export()
        params = {**job.request["params"], "OSSPrefix": f"{prefix(job)}by"}
        await stage.running(replace(job, request={**job.request, "params": params}))
        assert isinstance(await stage.find(job), Absent)
        await stage.lost(job)
        found = await stage.find(job)
    assert isinstance(found, Found)
    assert found.object_keys[0].startswith(f"{prefix(job)}_")


async def test_an_export_before_the_first_unresolved_send_is_left_out() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(SINCE / SECOND + 10)
        stage.server.remove_object(BUCKET, stage.server.tasks[0].objects[0])
        later = stage.claimed(replace(job, task_ref=""))
        assert isinstance(await stage.find(later), Absent)
        assert isinstance(await stage.find(stage.doubted(replace(later, sent_at=START))), Found)


@pytest.mark.parametrize("skew", [840.0, -840.0])
async def test_a_lost_export_is_found_though_the_clock_was_off_when_it_was_sent(skew: float) -> None:
    async with staged(clock_skew_seconds=skew) as stage:
        job = await stage.export()
        job = await stage.lost(replace(job, sent_at=START))
        assert isinstance(await stage.find(job), Found)


async def test_of_many_tasks_each_is_asked_about_once() -> None:
    async with staged(shows_resource_id=False, exports_running=None) as stage:
        for _ in range(5):
            await stage.running(await stage.export())
        job = await stage.export()
        await stage.find(job)
        first = stage.asked("DescribeTaskAttribute")
        await stage.find(job)
        assert (first, stage.asked("DescribeTaskAttribute")) == (5, 5)


async def test_tasks_of_every_page_are_looked_at() -> None:
    async with staged(exports_running=None, concurrent_exports=True) as stage:
        image_id = image(stage.server)
        job = await stage.lost(await stage.export(image_id))
        for number in range(105):
            params = {**job.request["params"], "OSSPrefix": f"other{number}"}
            await stage.submit(replace(job, request={**job.request, "params": params}))
        others = {task.id for task in stage.server.tasks[1:]}
        found = await stage.find(job, *others)
    assert isinstance(found, Found)


@pytest.mark.parametrize("failed_as", ["Failed", "Finished"])
async def test_a_lost_export_that_has_failed_does_not_block_another(failed_as: str) -> None:
    async with staged(failed_as=failed_as) as stage:
        stage.misbehave("task_fails", count=1)
        job = await stage.lost(await stage.export())
        stage.clock.jump(10)
        assert isinstance(await stage.find(job), Absent)


@asynccontextmanager
async def telling(row: Mapping[str, Any]) -> AsyncIterator[AliyunCloud]:
    """An adapter at a cloud that knows one task alone, and has no object."""
    told = {
        "DescribeTasks": {"TotalCount": 1, "TaskSet": {"Task": [{"TaskId": row["TaskId"], "TaskStatus": "Failed"}]}},
        "DescribeTaskAttribute": row,
    }

    async def answering(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            action = next((name for name in told if f"x-acs-action: {name}\r\n".encode() in request), "")
            body = json.dumps(told[action]).encode() if action else b"<ListBucketResult/>"
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with listening(answering) as server:
        cloud = AliyunCloud(aliyun_account(server.url), OpenGate(), FakeClock(), Metrics(), NOWHERE)
        try:
            yield cloud
        finally:
            await cloud.aclose()


def failed_task(job: Job, code: str) -> dict[str, Any]:
    items = [{"Name": "OSSObject", "Value": f"{prefix(job)}_{job.image_id}_system.raw.tar.gz"}]
    entry = {"ErrorCode": code, "ErrorMsg": "not today", "RelatedItemSet": {"RelatedItem": items}}
    return {"TaskId": "t-1", "TaskStatus": "Failed", "OperationProgressSet": {"OperationProgress": [entry]}}


async def test_a_lost_export_that_names_our_object_and_failed_for_good_ends_the_doubt() -> None:
    async with staged() as stage:
        job = await stage.export()
    async with telling(failed_task(job, "InvalidOSSBucket.NotFound")) as cloud:
        found = await cloud.find(job, set())
    assert found == Lost(
        "the lost task t-1 has failed: not today",
        Answer("permanent_config", "not today", "InvalidOSSBucket.NotFound"),
    )


@pytest.mark.parametrize("code", ["ExportImageFailed", "InternalError", ""])
async def test_one_that_failed_for_now_does_not(code: str) -> None:
    async with staged() as stage:
        job = await stage.export()
    async with telling(failed_task(job, code)) as cloud:
        assert isinstance(await cloud.find(job, set()), Absent)


# --- following -----------------------------------------------------------------------------------------------------


ENDS: list[dict[str, Any]] = [
    *SHAPES,
    {"objects_shown": "finished"},
    {"objects_shown": "never"},
    {"names_objects": "system"},
    {"names_objects": "system", "storage_lists": False},
    {"task_kept_seconds": 0.0},
    {"task_shows_seconds": 40.0, "export_seconds": 120.0},
    {"object_late_seconds": 100.0},
    {"object_grows_seconds": 100.0},
]


@pytest.mark.parametrize("shape", ENDS, ids=str)
async def test_an_export_is_followed_to_objects_that_are_there_and_do_not_change(shape: dict[str, Any]) -> None:
    async with staged(**{"export_seconds": 20.0, **shape}) as stage:
        disks = (10,) if not_named(shape) else ()
        job = await stage.running(await stage.export(image(stage.server, data_disks_gib=disks)))
        told = await stage.ends(job, 20)
        [task] = stage.server.tasks
        sizes = {each["key"]: each["size"] for each in stage.server.state(["objects"])["objects"]}
    assert told.verdict == "succeeded", told
    assert told.object_keys is not None
    assert set(told.object_keys) == set(task.objects) == set(sizes)
    count = len(task.objects)
    assert told.reason == f"{count} object{'' if count == 1 else 's'} of {sum(sizes.values())} bytes in {BUCKET}"


def not_named(shape: dict[str, Any]) -> bool:
    """Whether two objects can be told of: not where the task is silent about one and the bucket may not be listed."""
    return "storage_lists" not in shape and "{disk}" in shape.get("key_form", "{disk}")


async def test_objects_that_no_task_names_and_no_list_shows_are_not_taken_as_written() -> None:
    async with staged(names_objects="system", storage_lists=False) as stage:
        job = await stage.running(await stage.export(image(stage.server, data_disks_gib=(10, 20))))
        stage.clock.jump(60)
        told = [await stage.follow(job) for _ in range(3)]
        late = await stage.follow(job, overdue=True)
    reason = "all but 1 of 3 objects cannot be looked at: AccessDenied"
    assert [each.verdict for each in told] == ["running"] * 3
    assert all(each.reason.startswith(reason) for each in told)
    assert (late.verdict, late.answer and late.answer.klass) == ("failed", "permanent_config")
    assert "oss:ListObjects" in late.reason


async def test_an_export_that_runs_is_followed_by_a_list_alone() -> None:
    async with staged(export_seconds=3600.0) as stage:
        jobs = [await stage.running(await stage.export()) for _ in range(5)]
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
        assert (stage.asked("DescribeTasks"), stage.asked("DescribeTaskAttribute", "HeadObject")) == (1, 0)
    assert [(each.verdict, each.reason) for each in told] == [("running", "the task is processing")] * 5


async def test_an_export_that_ended_costs_one_more_request_of_the_api() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        await stage.ends(job)
        assert (stage.asked("DescribeTasks"), stage.asked("DescribeTaskAttribute")) == (1, 1)


@pytest.mark.parametrize("word", ["Waiting", "Pending"])
async def test_a_status_that_is_not_documented_is_taken_as_running(word: str) -> None:
    async with staged(waiting_word=word, export_seconds=1000.0) as stage:
        told = await stage.follow(await stage.running(await stage.export()))
    assert (told.verdict, told.reason) == ("running", f"the task is {word.lower()}")


@pytest.mark.parametrize("failed_as", ["Failed", "Finished"])
@pytest.mark.parametrize(
    ("code", "verdict", "klass"),
    [
        ("InvalidOSSBucket.NotFound", "failed", "permanent_config"),
        ("ImageNotSupported", "failed", "permanent_image"),
        ("ExportImageFailed", "vanished", "retry"),
        ("InternalError", "vanished", "retry"),
    ],
)
async def test_a_failed_export_is_judged_by_its_code(failed_as: str, code: str, verdict: str, klass: str) -> None:
    async with staged(failed_as=failed_as) as stage:
        stage.misbehave("task_fails", code=code, message="not today")
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert told.verdict == verdict
    assert told.answer == Answer(klass, "not today", code)
    assert told.reason == f"the task {job.task_ref} has failed: not today"


@pytest.mark.parametrize(
    ("word", "verdict"),
    [("Failed", "vanished"), ("Finished", "vanished"), ("Deleted", "failed"), ("Cancelled", "failed")],
)
async def test_an_export_that_somebody_cancelled_comes_to_an_end(word: str, verdict: str) -> None:
    async with staged(cancelled_as=word, export_seconds=3600.0) as stage, calling(stage.server, stage.clock) as caller:
        job = await stage.running(await stage.export())
        await caller.ask("CancelTask", {"RegionId": REGION, "TaskId": job.task_ref})
        told = await stage.ends(job, 20)
    assert told.verdict == verdict


@pytest.mark.parametrize("fault", ["object_missing", "object_empty"])
async def test_objects_that_never_come_are_waited_for_and_then_asked_for_once_more(fault: str) -> None:
    async with staged() as stage:
        stage.misbehave(fault)
        job = await stage.running(await stage.export(image(stage.server, data_disks_gib=(10,))))
        stage.clock.jump(10)
        told = await stage.follow(job)
        assert (told.verdict, told.soon) == ("running", True)
        told = await stage.ends(job, 20)
    there = 1 if fault == "object_missing" else 0
    assert (told.verdict, told.reason) == ("vanished", f"the task has finished, but {there} of 2 objects are there")


async def test_an_object_that_is_older_than_its_task_is_not_its_own() -> None:
    async with staged() as stage:
        first = await stage.export()
        await stage.running(first)
        stage.clock.jump(600)
        stage.misbehave("object_late", after=100.0, count=1)
        job = await stage.running(stage.claimed(first))
        [old, _] = stage.server.tasks
        stage.clock.jump(10)
        assert (await stage.follow(job)).verdict == "running"
        assert old.objects


async def test_what_an_earlier_task_of_the_job_has_left_is_not_counted() -> None:
    shape = {"names_objects": "system", "key_form": "{prefix}_{image}_{disk}_{task}"}
    async with staged(**shape) as stage:
        first = await stage.export(image(stage.server, data_disks_gib=(10,)))
        await stage.running(first)
        stage.clock.jump(600)
        job = await stage.running(stage.claimed(first))
        stage.clock.jump(10)
        told = await stage.ends(job)
        _, task = stage.server.tasks
    assert (told.verdict, sorted(told.object_keys or ())) == ("succeeded", sorted(task.objects))


async def test_a_task_that_the_cloud_does_not_know_and_without_objects_is_asked_for_once_more() -> None:
    async with staged() as stage:
        job = stage.as_running(await stage.export(), "t-nobody", ())
        told = await stage.ends(job, 30)
        assert stage.asked("DescribeTaskAttribute") > 0
    assert told.verdict == "vanished"
    assert told.reason == "the cloud does not know the task t-nobody, and 0 of 1 objects are there"


async def test_a_task_is_asked_about_alone_only_when_it_was_missing_three_times() -> None:
    async with staged() as stage:
        job = stage.as_running(await stage.export(), "t-nobody", ())
        asked = []
        for _ in range(4):
            job, _ = await stage.polls(job)
            asked.append(stage.asked("DescribeTaskAttribute"))
    assert asked == [0, 0, 1, 2]


async def test_one_that_is_overdue_is_not_waited_for_any_more() -> None:
    async with staged() as stage:
        stage.misbehave("object_missing")
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        assert (await stage.follow(job, overdue=True)).verdict == "vanished"


async def test_one_that_still_runs_though_overdue_is_said_to_run() -> None:
    async with staged(export_seconds=3600.0) as stage:
        told = await stage.follow(await stage.running(await stage.export()), overdue=True)
    assert told.verdict == "running"


async def test_a_storage_that_refuses_is_waited_for_until_the_deadline() -> None:
    async with staged(unreadable_buckets=[BUCKET]) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        job, told = await stage.polls(job)
        assert told.answer is not None
        assert (told.verdict, told.answer.klass) == ("running", "permanent_config")
        assert "oss:GetObject" in told.reason
        assert (await stage.follow(job, overdue=True)).verdict == "failed"
        stage.server.change({"unreadable_buckets": []})
        job = replace(job, klass="permanent_config")
        told = await stage.ends(job)
    assert told.verdict == "succeeded"
    assert told.answer is not None
    assert told.answer.klass == "ok"


@pytest.mark.parametrize("action", ["DescribeTasks", "DescribeTaskAttribute"])
async def test_an_answer_that_is_missing_keeps_the_job_running_with_its_memo(action: str) -> None:
    async with staged() as stage:
        job = replace(await stage.running(await stage.export()), memo={"missing": 1})
        stage.clock.jump(10)
        stage.misbehave("status", action, status=503, count=1)
        told = await stage.follow(job)
        assert (told.verdict, told.memo) == ("running", {"missing": 1})
        assert (await stage.ends(job)).verdict == "succeeded"


async def test_a_closed_account_keeps_the_job_running() -> None:
    async with staged(gate=OpenGate(closed_after=1)) as stage:
        job = await stage.running(await stage.export())
        told = await stage.follow(job)
    assert told.verdict == "running"


async def test_a_hundred_exports_are_followed_in_one_request_and_more_in_several() -> None:
    async with staged(exports_running=None, export_seconds=3600.0) as stage:
        jobs = [await stage.running(await stage.export()) for _ in range(3)]
        asked = [Following(replace(jobs[n % 3], id=f"job-{n}", task_ref=f"t-{n}"), overdue=False) for n in range(150)]
        await stage.cloud.follow(REGION, asked)
        assert stage.asked("DescribeTasks") == 2


async def test_a_formatted_export_ends_with_its_own_objects() -> None:
    async with staged() as stage:
        image_id, place = image(stage.server, region=FORMATTING), Place("aliyun", "prod", FORMATTING)
        seen = (await stage.cloud.look(FORMATTING, [image_id]))[image_id]
        assert isinstance(seen, Image)
        fresh = new_job("export", image_id, "archive-frankfurt", {"format": "qcow2"})
        job = await stage.running(stage.ready(replace(fresh, place=place), seen))
        stage.clock.jump(10)
        told = await stage.ends(job)
    assert told.verdict == "succeeded"
    assert (told.object_keys or ("",))[0].endswith(".qcow2")
