from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from imageferry.clouds.jdcloud.adapter import JdCloud
from imageferry.core.answers import Answer
from imageferry.core.job import Job, unique_part
from imageferry.errors import Refused
from imageferry.ports import Absent, Accepted, Following, Found, Lost, Unclear
from imageferry.rehearsal.jdcloud_options import ROLE
from imageferry.telemetry.metrics import Metrics
from support.clocks import FakeClock
from support.gates import OpenGate, RecordingPermit
from support.jdcloud_rehearsals import BUCKET, REGION, image
from support.jdcloud_stages import NOWHERE, Stage, jdcloud_account, staged
from support.sockets import Peer, listening

OTHER_BUCKET = "second-north"
BUCKETS = {BUCKET: REGION, OTHER_BUCKET: REGION}


def prefix(job: Job) -> str:
    return str(job.request["prefix"])


# --- freezing ------------------------------------------------------------------------------------------------------


async def test_an_export_is_frozen_with_the_key_it_will_have() -> None:
    async with staged() as stage:
        job = await stage.export(prefix="prod", disks="system")
    whole = f"prod{unique_part(job.key)}"
    assert job.request == {
        "params": {
            "roleName": ROLE,
            "ossUrl": f"https://{BUCKET}.s3-internal.{REGION}.jdcloud-oss.com",
            "ossPrefix": whole,
        },
        "prefix": whole,
        "key": f"{whole}_exportImage_{job.image_id}",
    }


async def test_without_a_prefix_the_unique_part_stands_alone_and_fits_the_vendors_rule() -> None:
    async with staged() as stage:
        job = await stage.export()
    assert prefix(job) == unique_part(job.key)
    assert re.fullmatch("[A-Za-z0-9]{1,32}", prefix(job))


@pytest.mark.parametrize(
    ("disks", "data_disks", "asked"),
    [("all", (10,), True), ("all", (), None), ("system", (10,), None)],
)
async def test_data_disks_are_asked_for_only_where_there_are_any(
    disks: str, data_disks: tuple[int, ...], asked: object
) -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server, data_disks_gib=data_disks), disks=disks)
    assert job.request["params"].get("isAllDisk") == asked


# --- submitting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [{}, {"task_id_key": "exportTaskId"}, {"task_ids_are_numbers": True}])
async def test_an_accepted_export_tells_task_request_and_object(shape: dict[str, Any]) -> None:
    async with staged(**shape) as stage:
        job = await stage.export()
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
    assert accepted == Accepted(task.id, task.request_id, task.objects)
    assert stage.permit.answer == Answer("ok", "", request_id=task.request_id)


async def test_the_path_is_sent_encoded_and_the_body_is_what_was_frozen_and_the_token() -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            body = b'{"requestId": "r-1", "result": {"taskId": "8023"}}'
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with staged() as stage, listening(answering) as server:
        job = await stage.export()
        cloud = JdCloud(jdcloud_account(server.url), OpenGate(), FakeClock(), Metrics(), NOWHERE)
        accepted = await cloud.submit(job, RecordingPermit())
        await cloud.aclose()
    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    assert head.startswith(f"POST /v1/regions/{REGION}/images/{job.image_id}%3AexportImage HTTP/1.1\r\n")
    sent = json.loads(body)
    assert re.fullmatch("[0-9a-f]{64}", sent.pop("clientToken"))
    assert sent == job.request["params"]
    assert accepted == Accepted("8023", "r-1", (job.request["key"],))


REFUSALS = [
    ("CONFLICT", "OssRegion 'a' not match current region 'b'", "permanent_config"),
    ("FAILED_PRECONDITION", "Can't use this image", "permanent_image"),
    ("FAILED_PRECONDITION", "Invalid image status 'pending'", "wait_image"),
    ("FAILED_PRECONDITION", "Invalid image status 'error'", "permanent_image"),
    ("FAILED_PRECONDITION", "Invalid image type 'localDisk'", "permanent_image"),
    ("FAILED_PRECONDITION", "Windows image can't export", "permanent_image"),
    ("INTERNAL", "Internal server error", "retry"),
    ("UNKNOWN", "Unknown server error", "retry"),
    ("NOT_FOUND", "Image 'img-1' not found", "permanent_image"),
    ("RATE_LIMIT", "minute rate limit exceeded", "throttled"),
    ("PERMISSION_DENIED", "not allowed", "auth"),
]


@pytest.mark.parametrize(("status", "message", "klass"), REFUSALS)
async def test_every_documented_refusal_comes_back_with_its_class_and_request_id(
    status: str, message: str, klass: Any
) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code=status, message=message)
        answer = await stage.refused(job)
        request = next(each for each in reversed(stage.server.requests.last) if each.action == "exportImage")
    assert answer == Answer(klass, message, status, request.request_id)
    assert stage.permit.answer == answer


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "Can't use this image"),
        ({"extra": {"root_device": "localDisk"}}, "Invalid image type 'localDisk'"),
        ({"platform": "Windows"}, "Windows image can't export"),
        ({"fails": True}, "Invalid image status 'error'"),
    ],
)
async def test_what_the_cloud_never_exports_is_the_images_fault(facts: dict[str, Any], message: str) -> None:
    async with staged() as stage:
        answer = await stage.refused(await stage.export(image(stage.server, **facts)))
    assert (answer.klass, answer.message) == ("permanent_image", message)


@pytest.mark.parametrize("target", [{"role": "AnotherRole"}, {"bucket": "no-such-bucket"}])
@pytest.mark.parametrize("code", ["FAILED_PRECONDITION", "NOT_FOUND"])
async def test_a_role_or_bucket_that_cannot_be_used_is_the_configs_fault(target: dict[str, str], code: str) -> None:
    async with staged(bad_target_code=code) as stage:
        assert (await stage.refused(await stage.export(**target))).klass == "permanent_config"


async def test_a_limit_of_running_tasks_teaches_the_lane() -> None:
    async with staged(exports_running=1) as stage:
        await stage.running(await stage.export())
        answer = await stage.refused(await stage.export())
    assert (answer.klass, answer.about_running) == ("wait_quota", True)


@pytest.mark.parametrize("words", ["image", "task"])
async def test_a_busy_image_is_waited_for(words: str) -> None:
    async with staged(busy_words=words, buckets=BUCKETS) as stage:
        job = await stage.running(await stage.export())
        answer = await stage.refused(await stage.export(job.image_id, OTHER_BUCKET))
    assert answer.klass == "wait_image"


# --- the client token ----------------------------------------------------------------------------------------------


async def test_the_same_send_has_the_same_token_and_is_one_task() -> None:
    async with staged() as stage:
        job = await stage.export()
        first, second = await stage.submit(job), await stage.submit(job)
        assert len(stage.server.tasks) == 1
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.task_ref == second.task_ref


@pytest.mark.parametrize("fault", ["drop", "status", "garbage"])
async def test_a_resend_after_a_doubt_is_the_same_request_and_starts_nothing_new(fault: str) -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.export(), fault)
        stage.clock.jump(400)
        accepted = await stage.submit(stage.doubted(job))
        stage.clock.jump(400)
        again = await stage.submit(stage.doubted(stage.doubted(job)))
        [task] = stage.server.tasks
    assert isinstance(accepted, Accepted)
    assert isinstance(again, Accepted)
    assert (accepted.task_ref, again.task_ref) == (task.id, task.id)


async def test_a_send_after_a_refusal_has_a_token_of_its_own() -> None:
    async with staged(client_token_keeps_refusals=True, buckets=BUCKETS) as stage:
        first = await stage.running(await stage.export())
        job = await stage.export(first.image_id, OTHER_BUCKET)
        assert (await stage.refused(job)).klass == "wait_image"
        stage.clock.jump(60)
        assert isinstance(await stage.submit(stage.claimed(job)), Accepted)


async def test_a_person_who_asks_again_gets_another_task() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails", count=1)
        job = await stage.running(await stage.export())
        stage.clock.jump(60)
        again = await stage.running(stage.claimed(replace(job, attempt=2, task_ref="", state="submitting")))
    assert again.task_ref != job.task_ref


async def test_a_task_that_ended_without_a_result_is_not_given_again() -> None:
    async with staged() as stage:
        stage.misbehave("object_missing", count=1)
        job = await stage.running(await stage.export())
        stage.clock.jump(60)
        again = await stage.running(stage.claimed(replace(job, memo={"vanished": 1})))
    assert again.task_ref != job.task_ref


async def test_tokens_differ_between_images_buckets_and_sends() -> None:
    async with staged(buckets=BUCKETS) as stage:
        first = await stage.export()
        for job in (first, await stage.export(bucket=OTHER_BUCKET), await stage.export()):
            await stage.submit(job)
        stage.clock.jump(60)
        await stage.submit(stage.claimed(first))
        tokens = [token for _, token in stage.server.world.repeats]
    assert len(set(tokens)) == 4
    assert all(len(token) == len(hashlib.sha256().hexdigest()) for token in tokens)


# --- solving a doubt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [8.0, 0.0])
@pytest.mark.parametrize("names", ["ossObjects", "ossObject", "none"])
@pytest.mark.parametrize("later", [1, 400])
async def test_a_lost_export_is_found_whatever_its_task_tells(zone: float, names: str, later: int) -> None:
    async with staged(zone_hours=zone, names_objects=names) as stage:
        job = await stage.lost(await stage.export())
        stage.clock.jump(later)
        found = await stage.find(job)
        [task] = stage.server.tasks
    assert isinstance(found, Found)
    assert found.task_ref == task.id


@pytest.mark.parametrize("names", ["ossObjects", "none"])
async def test_a_lost_export_that_was_found_is_followed_to_its_success(names: str) -> None:
    async with staged(names_objects=names) as stage:
        job = await stage.lost(await stage.export())
        found = await stage.find(job)
        assert isinstance(found, Found)
        job = stage.as_running(job, found.task_ref, found.object_keys)
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        job, told = await stage.polls(job)
        [task] = stage.server.tasks
    assert (told.verdict, job.object_keys) == ("succeeded", task.objects)


async def test_an_export_that_was_done_late_is_found() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("drop", work="late", after=2.0, count=1)
        await stage.submit(job)
        assert isinstance(await stage.find(job), Absent)
        stage.clock.jump(4)
        assert isinstance(await stage.find(job), Found)


async def test_an_export_that_never_began_is_absent_for_certain_because_of_its_token() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("drop", count=1)
        await stage.submit(job)
        found = await stage.find(job)
        assert stage.gate.entered[-1] == (REGION, "read")
    assert found == Absent(
        "no export of the image is listed since; the client token makes sending it again safe", certain=True
    )


async def test_after_a_busy_answer_absent_wants_a_second_look() -> None:
    async with staged() as stage:
        found = await stage.find(stage.doubted(await stage.export(), "wait_image"))
    assert isinstance(found, Absent)
    assert not found.certain


async def test_what_another_job_owns_is_never_adopted() -> None:
    async with staged(names_objects="none") as stage:
        job = await stage.lost(await stage.export())
        [task] = stage.server.tasks
        assert isinstance(await stage.find(job), Found)
        assert isinstance(await stage.find(job, task.id), Absent)


async def test_a_task_of_the_jobs_own_that_has_ended_is_never_adopted_again() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        assert isinstance(await stage.find(job), Absent)
        assert isinstance(await stage.find(replace(job, task_ref="")), Found)


@pytest.mark.parametrize("names", ["ossObjects", "none"])
async def test_an_export_of_the_same_image_to_another_bucket_is_not_ours(names: str) -> None:
    async with staged(names_objects=names, buckets=BUCKETS, concurrent_exports=True) as stage:
        other = await stage.running(await stage.export())
        job = await stage.export(other.image_id, OTHER_BUCKET)
        assert isinstance(await stage.find(job), Absent)
        await stage.lost(job)
        found = await stage.find(job)
        assert isinstance(found, Found)
        assert (found.task_ref, len(stage.server.tasks)) == (stage.server.tasks[1].id, 2)


@pytest.mark.parametrize("zone", [8.0, 0.0])
async def test_an_export_of_yesterday_is_not_the_lost_one(zone: float) -> None:
    async with staged(zone_hours=zone) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(86_400)
        assert isinstance(await stage.find(stage.claimed(replace(job, task_ref=""))), Absent)


async def test_a_foreign_export_of_the_same_image_and_bucket_that_has_ended_is_not_ours() -> None:
    async with staged() as stage:
        job = await stage.export()
        await _foreign(stage, job)
        stage.clock.jump(10)
        assert isinstance(await stage.find(job), Absent)


async def test_a_foreign_export_that_was_followed_shows_at_its_end_that_it_was_not_ours() -> None:
    async with staged() as stage:
        job = await stage.export()
        await _foreign(stage, job)
        found = await stage.find(job)
        assert isinstance(found, Found)
        job = stage.as_running(job, found.task_ref, found.object_keys)
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert told.verdict == "vanished"
    assert told.reason.endswith("it was another's")


async def test_several_exports_that_may_be_ours_are_unclear() -> None:
    async with staged(concurrent_exports=True) as stage:
        job = await stage.export()
        await _foreign(stage, job)
        await stage.lost(job)
        found = await stage.find(job)
        stage.clock.jump(10)
        later = await stage.find(job)
    assert found == Unclear("2 exports of the image run, and none of them names its object yet")
    assert isinstance(later, Found)
    assert later.object_keys == (job.request["key"],)


async def _foreign(stage: Stage, job: Job) -> None:
    """An export of the same image to the same bucket that a person asked for."""
    params = {**job.request["params"], "ossPrefix": "byhand"}
    await stage.running(replace(job, attempt=99, request={**job.request, "params": params}))


async def test_a_lost_export_that_failed_for_good_ends_the_doubt() -> None:
    rows = {"taskId": "7", "taskStatus": "failed", "errorInfo": "The bucket is gone"}
    async with staged() as stage:
        job = await stage.export()
        found = await _found_among(stage, job, rows)
    assert isinstance(found, Lost)
    assert (found.answer.klass, found.answer.message) == ("permanent_config", "The bucket is gone")


async def test_a_lost_export_that_failed_for_now_is_followed_and_asked_for_again() -> None:
    rows = {"taskId": "7", "taskStatus": "failed", "errorInfo": "Internal server error"}
    async with staged() as stage:
        job = await stage.export()
        found = await _found_among(stage, job, rows)
    assert isinstance(found, Found)
    assert found.task_ref == "7"


async def _found_among(stage: Stage, job: Job, row: dict[str, str]) -> object:
    """What is found where the list holds one task with our object."""
    listed = {"imageId": job.image_id, "ossObject": f"/{job.request['key']}", **row}
    body = json.dumps({"result": {"taskSet": [listed]}}).encode()

    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with listening(answering) as server:
        cloud = JdCloud(jdcloud_account(server.url), OpenGate(), stage.clock, Metrics(), NOWHERE)
        try:
            return await cloud.find(job, ())
        finally:
            await cloud.aclose()


@pytest.mark.parametrize(("sizes", "asked"), [("10-100", 1), ("1-10", 1 + 3)])
async def test_a_lost_export_among_many_is_found(sizes: str, asked: int) -> None:
    async with staged(zone_hours=0.0, task_page_sizes=sizes) as stage:
        job = await stage.lost(await stage.export())
        for _ in range(25):
            await stage.running(await stage.export())
        found = await stage.find(job)
        assert isinstance(found, Found)
        assert (found.task_ref, stage.asked("imageTasks")) == (stage.server.tasks[0].id, asked)


async def test_a_doubt_raises_what_the_cloud_refused() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("throttle", "imageTasks")
        with pytest.raises(Refused):
            await stage.find(job)


@pytest.mark.parametrize("sizes", ["10-100", "1-10"])
@pytest.mark.parametrize("options", [{"task_action_required": True}, {"task_action_suffix": "Task"}])
async def test_every_description_of_the_task_list_is_met(sizes: str, options: dict[str, Any]) -> None:
    async with staged(task_page_sizes=sizes, **options) as stage:
        job = await stage.lost(await stage.export())
        found = await stage.find(job)
        assert isinstance(found, Found)
        stage.clock.jump(10)
        assert (await stage.follow(stage.as_running(job, found.task_ref, ()))).soon


# --- following -----------------------------------------------------------------------------------------------------


async def test_an_export_that_runs_is_running_and_tells_how_far() -> None:
    async with staged(export_seconds=100.0) as stage:
        job = await stage.running(await stage.export())
        told = [(await stage.follow(job)).reason]
        stage.clock.jump(50)
        told.append((await stage.follow(job)).reason)
    assert told == ["the task is pending, 0 %", "the task is running, 50 %"]


async def test_an_export_that_has_finished_succeeds_once_its_object_was_seen_twice_the_same() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        job, first = await stage.polls(job)
        before = stage.asked("imageTasks")
        job, second = await stage.polls(job)
        assert stage.asked("imageTasks") == before
        [task] = stage.server.tasks
    assert [(each.verdict, each.soon) for each in (first, second)] == [("running", True), ("succeeded", False)]
    assert second.reason.startswith("1 object of ")
    assert job.object_keys == task.objects


async def test_an_object_that_still_grows_is_waited_for() -> None:
    async with staged(object_grows_seconds=30.0) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(3)
        job, _ = await stage.polls(job)
        stage.clock.jump(40)
        job, grown = await stage.polls(job)
        job, last = await stage.polls(job)
    assert [grown.verdict, last.verdict] == ["running", "succeeded"]


async def test_every_disk_is_named_and_looked_at() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server, data_disks_gib=(10, 20)), disks="all"))
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        job, told = await stage.polls(job)
        [task] = stage.server.tasks
    assert (told.verdict, len(job.object_keys)) == ("succeeded", 3)
    assert set(job.object_keys) == set(task.objects)


@pytest.mark.parametrize("options", [{"key_suffix": ".qcow2"}, {"key_form": "{image}/{prefix}"}])
async def test_the_key_that_was_really_written_is_told(options: dict[str, str]) -> None:
    async with staged(**options) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        job, told = await stage.polls(job)
        [task] = stage.server.tasks
    assert (told.verdict, job.object_keys) == ("succeeded", task.objects)


@pytest.mark.parametrize("field", ["errorInfo", "message"])
async def test_an_export_that_fails_tells_why_wherever_that_stands(field: str) -> None:
    async with staged(failure_field=field) as stage:
        stage.misbehave("task_fails", message="the disk broke")
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert (told.verdict, told.reason) == ("failed", f"the task {job.task_ref} has failed: the disk broke")
    assert told.answer == Answer("permanent_config", "the disk broke")


async def test_a_bad_role_that_shows_only_in_the_task_is_the_configs_fault() -> None:
    async with staged(bad_target="task") as stage:
        job = await stage.running(await stage.export(role="AnotherRole"))
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert (told.verdict, told.answer and told.answer.klass) == ("failed", "permanent_config")


@pytest.mark.parametrize(
    ("message", "verdict", "klass"),
    [
        ("Internal server error", "vanished", "retry"),
        ("The image 'img-1' is busy", "vanished", "wait_image"),
        ("Windows image can't export", "failed", "permanent_image"),
    ],
)
async def test_a_failed_task_is_judged_by_its_words(message: str, verdict: str, klass: str) -> None:
    async with staged() as stage:
        stage.misbehave("task_fails", message=message)
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert (told.verdict, told.answer and told.answer.klass) == (verdict, klass)


async def test_an_object_that_is_late_is_waited_for_and_looked_for_often_at_first() -> None:
    async with staged(object_late_seconds=300.0) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        job, first = await stage.polls(job)
        stage.clock.jump(100)
        job, second = await stage.polls(job)
        stage.clock.jump(300)
        job, _ = await stage.polls(job)
        job, last = await stage.polls(job)
    assert [(each.verdict, each.soon) for each in (first, second)] == [("running", True), ("running", False)]
    assert first.reason == "the task has finished, but 0 of 1 objects are there"
    assert last.verdict == "succeeded"


@pytest.mark.parametrize(("seconds", "overdue"), [(600, False), (1, True)])
async def test_an_object_that_never_comes_has_vanished(seconds: int, *, overdue: bool) -> None:
    async with staged() as stage:
        stage.misbehave("object_missing")
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        job, first = await stage.polls(job)
        stage.clock.jump(seconds)
        told = await stage.follow(job, overdue=overdue)
    assert (first.verdict, told.verdict) == ("running", "vanished")


async def test_an_empty_object_is_not_whole() -> None:
    async with staged() as stage:
        stage.misbehave("object_empty")
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        assert (await stage.follow(job)).reason == "the task has finished, but 0 of 1 objects are there"


async def test_a_task_that_is_not_listed_yet_runs() -> None:
    async with staged(task_shows_seconds=60.0) as stage:
        job = await stage.running(await stage.export())
        job, early = await stage.polls(job)
        stage.clock.jump(60)
        job, shown = await stage.polls(job)
        job, last = await stage.polls(job)
    assert early.reason == f"the cloud does not list the task {job.task_ref}"
    assert [each.verdict for each in (early, shown, last)] == ["running", "running", "succeeded"]


async def test_a_task_that_is_never_listed_is_judged_by_its_object_after_a_while() -> None:
    async with staged(task_shows_seconds=1e6) as stage:
        job = await stage.running(await stage.export())
        verdicts = []
        for seconds in (10, 300, 300):
            stage.clock.jump(seconds)
            job, told = await stage.polls(job)
            verdicts.append(told.verdict)
    assert verdicts == ["running", "running", "succeeded"]


async def test_a_task_that_is_never_listed_and_left_nothing_fails_at_the_deadline() -> None:
    async with staged(task_shows_seconds=1e6) as stage:
        stage.misbehave("object_missing")
        job = await stage.running(await stage.export())
        job, _ = await stage.polls(job)
        stage.clock.jump(601)
        job, late = await stage.polls(job)
        told = await stage.follow(job, overdue=True)
    assert (late.verdict, told.verdict) == ("running", "failed")
    assert told.reason == f"the cloud does not list the task {job.task_ref}, and 0 of 1 objects are there"


async def test_a_missing_task_is_asked_for_alone_so_that_it_spoils_no_batch() -> None:
    async with staged() as stage:
        jobs = [await stage.running(await stage.export()) for _ in range(10)]
        lost = replace(jobs[0], task_ref="1", memo={"missing": stage.clock.now()})
        before = stage.asked("imageTasks")
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in (lost, *jobs[1:])])
        assert stage.asked("imageTasks") - before == 2
    assert {each.verdict for each in told} == {"running"}


@pytest.mark.parametrize("named", ["Task '1' not found", "no such task"])
async def test_a_list_that_is_refused_for_one_unknown_id_is_read_one_by_one(named: str) -> None:
    async with staged() as stage:
        jobs = [await stage.running(await stage.export()) for _ in range(3)]
        stage.misbehave("code", "imageTasks", code="NOT_FOUND", message=named, count=2)
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
    reasons = [each.reason for each in told]
    assert reasons[0].startswith("the cloud does not list the task")
    assert reasons[1:] == ["the task is pending, 0 %"] * 2


@pytest.mark.parametrize(("sizes", "first", "later"), [("10-100", 2, 2), ("1-10", 1 + 6, 6)])
async def test_exports_are_asked_about_in_the_largest_pages_that_are_allowed(
    sizes: str, first: int, later: int
) -> None:
    async with staged(task_page_sizes=sizes) as stage:
        jobs = [await stage.running(await stage.export()) for _ in range(60)]
        for asked in (first, later):
            before = len(stage.gate.entered)
            told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
            assert len(stage.gate.entered) - before == asked
            assert [each.reason for each in told] == ["the task is pending, 0 %"] * 60


async def test_a_page_that_is_refused_at_any_size_is_said() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.misbehave("code", "imageTasks", code="OUT_OF_RANGE", message="PageSize out of range")
        told = await stage.follow(job)
    assert (told.verdict, told.answer and told.answer.vendor_code) == ("running", "OUT_OF_RANGE")
    assert stage.asked("imageTasks") == 2


async def test_a_batch_that_is_refused_holds_up_no_other() -> None:
    async with staged() as stage:
        jobs = [await stage.running(await stage.export()) for _ in range(51)]
        stage.misbehave("throttle", "imageTasks", count=1)
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
    classes = [each.answer.klass if each.answer else "" for each in told]
    assert ({each.verdict for each in told}, classes) == ({"running"}, ["throttled"] * 50 + [""])


@pytest.mark.parametrize("listed", [True, False])
async def test_a_bucket_that_may_not_be_read_is_said_and_fails_at_the_deadline(listed: bool) -> None:  # noqa: FBT001 - a parameter of a test
    async with staged(unreadable_buckets=[BUCKET], task_shows_seconds=0.0 if listed else 1e6) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        stage.clock.jump(600)
        early, late = await stage.follow(job), await stage.follow(job, overdue=True)
    assert (early.verdict, late.verdict) == ("running", "failed")
    assert "HTTP 403" in early.reason
    assert late.answer is not None
    assert late.answer.klass == "permanent_config"


async def test_a_storage_that_is_down_does_not_fail_an_export_even_at_the_deadline() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        stage.misbehave("status", "HeadObject")
        told = await stage.follow(job, overdue=True)
    assert told.verdict == "running"


async def test_an_overdue_export_that_still_runs_is_running() -> None:
    async with staged(export_seconds=7200.0) as stage:
        job = await stage.running(await stage.export())
        assert (await stage.follow(job, overdue=True)).verdict == "running"


async def test_an_image_that_was_deleted_does_not_undo_its_export() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.server.remove_image(REGION, job.image_id)
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        job, told = await stage.polls(job)
    assert told.verdict == "succeeded"
