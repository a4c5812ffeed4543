from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from imageferry.clouds.huawei import codes
from imageferry.core.account import Timeouts
from imageferry.core.answers import Answer
from imageferry.core.job import Job, unique_part
from imageferry.core.times import SECOND
from imageferry.ports import Absent, Accepted, Following, Found, Unclear
from support.clocks import START
from support.huawei_rehearsals import BUCKET, REGION, image
from support.huawei_stages import Stage, staged
from support.sockets import Peer, listening


def bodies(job: Job) -> list[dict[str, Any]]:
    return [json.loads(way["body"]) for way in job.request["ways"]]


def keys(job: Job) -> list[str]:
    return [way["key"] for way in job.request["ways"]]


# --- freezing ------------------------------------------------------------------------------------------------------


async def test_an_export_is_frozen_to_the_byte_with_a_quick_one_in_reserve() -> None:
    async with staged() as stage:
        job = await stage.export(prefix="prod/linux", format="vhd")
    stem = f"prod/linux-{unique_part(job.key)}"
    assert job.request["path"] == f"v1/cloudimages/{job.image_id}/file"
    assert bodies(job) == [
        {"bucket_url": f"{BUCKET}:{stem}.vhd", "file_format": "vhd", "is_quick_export": False},
        {"bucket_url": f"{BUCKET}:{stem}.zvhd2", "is_quick_export": True},
    ]
    assert keys(job) == [f"{stem}.vhd", f"{stem}.zvhd2"]


async def test_without_options_it_is_qcow2_under_the_unique_part_alone() -> None:
    async with staged() as stage:
        job = await stage.export()
    assert (keys(job)[0], bodies(job)[0]["file_format"]) == (f"{unique_part(job.key)}.qcow2", "qcow2")


@pytest.mark.parametrize(("size", "options"), [(129, {"format": "qcow2"}), (20, {"quick": True})])
async def test_what_must_be_quick_is_frozen_without_a_format(size: int, options: dict[str, Any]) -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server, size_gib=size), **options)
        accepted = await stage.submit(job)
    assert bodies(job) == [{"bucket_url": f"{BUCKET}:{unique_part(job.key)}.zvhd2", "is_quick_export": True}]
    assert isinstance(accepted, Accepted)


async def test_an_encrypted_image_has_no_quick_export_in_reserve() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server, encrypted=True))
    assert [body["is_quick_export"] for body in bodies(job)] == [False]


async def test_the_newer_path_is_used_where_it_is_wanted() -> None:
    async with staged(export_version="v2.1") as stage:
        job = await stage.export()
        assert isinstance(await stage.submit(job), Accepted)
    assert job.request["path"] == f"v2.1/cloudimages/{job.image_id}/file"


# --- submitting ----------------------------------------------------------------------------------------------------


async def test_an_accepted_export_tells_job_request_and_object() -> None:
    async with staged() as stage:
        job = await stage.export(prefix="prod")
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
    assert accepted == Accepted(task.id, task.request_id, task.objects)
    assert stage.permit.answer == Answer("ok", "", request_id=task.request_id)


async def test_every_code_comes_back_with_its_class_and_request_id() -> None:
    async with staged() as stage:
        job = await stage.export()
        for code in sorted(codes.IMS.keys() - codes.TOO_LARGE - {codes.OBJECT_EXISTS}):
            stage.misbehave("code", code=code, message="because", count=1)
            answer = await stage.refused(replace(job, vendor_code=code))
            request = next(each for each in reversed(stage.server.requests.last) if each.action == "ExportImage")
            about_running = code in ("IMG.0060", "IMG.0149")
            expected = Answer(codes.IMS[code], "because", code, request.request_id, about_running=about_running)
            assert answer == expected
        assert len(stage.server.tasks) == 0


@pytest.mark.parametrize("code", ["APIGW.0302", "APIGW.0308", "APIGW.0502", "APIGW.0610", "IAM.0082"])
async def test_every_gateways_code_comes_back_with_its_class(code: str) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code=code, count=1)
        answer = await stage.refused(job)
    assert (answer.vendor_code, answer.klass) == (code, codes.classify(code, 400))


@pytest.mark.parametrize("code", ["IMG.0069", "IMG.0155", "IMG.0156", "IMG.1075"])
async def test_some_refusals_are_permanent_only_when_they_come_twice(code: str) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code=code)
        first = await stage.refused(job)
        second = await stage.refused(replace(job, vendor_code=first.vendor_code))
    assert [(each.klass, each.vendor_code) for each in (first, second)] == [("retry", code), ("permanent_config", code)]


@pytest.mark.parametrize("code", sorted(codes.TOO_LARGE))
async def test_what_turns_out_too_large_is_exported_quickly_with_a_permit_of_its_own(code: str) -> None:
    async with staged(size_measured="min_disk", too_large_code=code) as stage:
        job = await stage.export(image(stage.server, extra={"min_disk_gib": 200}))
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
    assert accepted == Accepted(task.id, task.request_id, (keys(job)[1],))
    assert (stage.permit.answer and stage.permit.answer.klass, stage.gate.classes[-1]) == ("permanent_image", "ok")


async def test_what_turns_out_too_large_and_is_encrypted_is_never_exported() -> None:
    async with staged(size_measured="min_disk") as stage:
        job = await stage.export(image(stage.server, encrypted=True, extra={"min_disk_gib": 200}))
        answer = await stage.refused(job)
        assert (answer.klass, answer.vendor_code, stage.asked("ExportImage")) == ("permanent_image", "IMG.0160", 1)


async def test_what_is_too_large_for_a_quick_export_too_is_refused_at_the_second() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code="IMG.0059")
        answer = await stage.refused(job)
        assert (answer.klass, stage.asked("ExportImage")) == ("permanent_image", 2)


@pytest.mark.parametrize("fault", ["status", "garbage", "drop"])
@pytest.mark.parametrize("work", ["none", "done"])
async def test_a_submit_without_a_readable_answer_is_unanswered_and_sent_once(fault: str, work: str) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave(fault, work=work)
        assert (await stage.refused(job)).klass == "unanswered"
        assert (stage.asked("ExportImage"), len(stage.server.tasks)) == (1, work == "done")


async def test_a_submit_that_hangs_is_unanswered_at_the_deadline() -> None:
    async with staged(account={"timeouts": Timeouts(request=1.0)}) as stage:
        job = await stage.export()
        stage.misbehave("hang")
        assert (await stage.refused(job)).klass == "unanswered"


@pytest.mark.parametrize("body", [b"{}", b'{"job_id": null}', b'{"job_id": ""}'])
async def test_a_success_that_names_no_job_is_unanswered(body: bytes) -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with listening(answering) as server, staged() as known, staged(account={"endpoint": server.url}) as stage:
        answers = [await stage.refused(job) for job in (await known.export(), await known.copy())]
    assert [(each.klass, each.message) for each in answers] == [("unanswered", "the answer names no job")] * 2


async def test_an_object_of_our_key_that_is_there_is_adopted_whatever_its_age() -> None:
    async with staged() as stage:
        job = await stage.export()
        await stage.running(job)
        stage.clock.jump(86_400)
        accepted = await stage.submit(job)
        assert isinstance(accepted, Accepted)
        assert (accepted.task_ref, accepted.object_keys) == (f"found:{START + 2 * SECOND}", (keys(job)[0],))
        told = await stage.ends(stage.as_running(job, accepted.task_ref, accepted.object_keys))
    assert (told.verdict, len(stage.server.tasks)) == ("succeeded", 1)


@pytest.mark.parametrize("fault", ["object_empty", "object_missing"])
async def test_an_object_that_is_there_and_not_whole_is_for_a_person(fault: str) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave(fault)
        await stage.running(job)
        stage.clock.jump(10)
        stage.misbehave("code", code=codes.OBJECT_EXISTS)
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("permanent_config", codes.OBJECT_EXISTS)


async def test_an_object_that_is_there_and_may_not_be_looked_at_leaves_it_open() -> None:
    async with staged(unreadable_buckets=[BUCKET]) as stage:
        job = await stage.export()
        await stage.running(job)
        stage.clock.jump(10)
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("retry", codes.OBJECT_EXISTS)
    assert "HTTP 403" in answer.message


# --- solving a doubt -----------------------------------------------------------------------------------------------


async def test_an_export_that_never_began_is_absent_but_not_for_certain() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("drop", count=1)
        await stage.refused(job)
        found = await stage.find(job)
    assert isinstance(found, Absent)
    assert not found.certain


async def test_a_lost_export_that_ended_is_found_and_followed_to_its_success() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.export())
        stage.clock.jump(60)
        found = await stage.find(job)
        assert isinstance(found, Found)
        assert (found.task_ref, found.object_keys) == (f"found:{job.sent_at}", stage.server.tasks[0].objects)
        told = await stage.ends(stage.as_running(job, found.task_ref, found.object_keys))
        assert (told.verdict, stage.asked("ShowJobProgress")) == ("succeeded", 0)


async def test_a_lost_export_that_was_made_quick_is_found_under_its_other_key() -> None:
    async with staged(size_measured="min_disk") as stage:
        job = await stage.export(image(stage.server, extra={"min_disk_gib": 200}))
        await stage.running(job)
        stage.clock.jump(60)
        found = await stage.find(job)
    assert isinstance(found, Found)
    assert found.object_keys == (keys(job)[1],)


async def test_a_lost_export_that_runs_is_not_started_twice_by_sending_it_again() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.export())
        assert isinstance(await stage.find(job), Absent)
        busy = await stage.refused(job)
        assert (busy.klass, busy.vendor_code) == ("wait_image", "IMG.0148")
        stage.clock.jump(60)
        assert isinstance(await stage.find(job), Found)
        assert len(stage.server.tasks) == 1


async def test_a_lost_export_that_ended_meanwhile_is_adopted_by_sending_it_again() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.export())
        assert isinstance(await stage.find(job), Absent)
        stage.clock.jump(60)
        assert isinstance(await stage.submit(job), Accepted)
        assert len(stage.server.tasks) == 1


async def test_a_lost_export_that_failed_is_started_anew() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails", count=1)
        job = await stage.lost(await stage.export())
        stage.clock.jump(60)
        assert isinstance(await stage.find(job), Absent)
        accepted = await stage.submit(job)
        assert isinstance(accepted, Accepted)
        assert accepted.task_ref == stage.server.tasks[1].id


async def test_an_object_that_is_older_than_the_send_is_not_the_lost_one() -> None:
    async with staged() as stage:
        job = await stage.export()
        await stage.running(job)
        stage.clock.jump(3600)
        assert isinstance(await stage.find(replace(job, sent_at=stage.clock.now())), Absent)


async def test_an_empty_object_is_unclear() -> None:
    async with staged() as stage:
        stage.misbehave("object_empty")
        job = await stage.lost(await stage.export())
        stage.clock.jump(60)
        found = await stage.find(job)
    assert found == Unclear(f"the object {keys(job)[0]} is there, but empty")


async def test_a_bucket_that_may_not_be_read_is_unclear() -> None:
    async with staged(unreadable_buckets=[BUCKET]) as stage:
        found = await stage.find(await stage.export())
    assert isinstance(found, Unclear)
    assert found.answer is not None
    assert found.answer.klass == "permanent_config"


async def test_a_doubt_about_an_export_costs_no_request_to_the_api() -> None:
    async with staged() as stage:
        job = await stage.export()
        before = len(stage.gate.entered)
        await stage.find(job)
        assert len(stage.gate.entered) == before


# --- following -----------------------------------------------------------------------------------------------------


async def test_an_export_is_followed_by_its_object_and_its_job_is_asked_once() -> None:
    async with staged(export_seconds=400) as stage:
        told = await stage.ends(await stage.running(await stage.export()), 30)
        assert stage.asked("ShowJobProgress", "ShowJob") == 1
        [task] = stage.server.tasks
    size = (20 << 30) // 3
    assert (told.verdict, told.object_keys) == ("succeeded", task.objects)
    assert told.reason == f"object {task.objects[0]} of {size} bytes in {BUCKET}"


async def test_an_object_must_be_seen_twice_the_same() -> None:
    async with staged(object_grows_seconds=60.0) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        job, first = await stage.polls(job)
        stage.clock.jump(90)
        job, grown = await stage.polls(job)
        job, last = await stage.polls(job)
    assert [(each.verdict, each.soon) for each in (first, grown, last)] == [
        ("running", True),
        ("running", True),
        ("succeeded", False),
    ]


async def test_an_object_that_shows_before_its_job_is_over_waits_for_it() -> None:
    async with staged(export_seconds=100, object_early_seconds=80) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(30)
        job, _ = await stage.polls(job)
        job, early = await stage.polls(job)
        stage.clock.jump(80)
        _, late = await stage.polls(job)
    assert (early.verdict, early.reason) == ("running", "the object is there; its job is not over")
    assert late.verdict == "succeeded"


@pytest.mark.parametrize("late", [10, 50])
async def test_an_object_that_comes_later_than_the_end_of_its_job_is_waited_for(late: float) -> None:
    async with staged(export_seconds=600, object_late_seconds=late) as stage:
        told = await stage.ends(await stage.running(await stage.export()), 60, every=20)
        assert (told.verdict, stage.asked("ShowJobProgress")) == ("succeeded", 1)


async def test_a_job_that_left_no_object_has_vanished() -> None:
    async with staged() as stage:
        stage.misbehave("object_missing")
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        job, first = await stage.polls(job)
        job, second = await stage.polls(job)
        stage.clock.jump(60)
        _, last = await stage.polls(job)
        assert stage.asked("ShowJobProgress") == 1
    assert [(each.verdict, each.soon) for each in (first, second, last)] == [
        ("running", True),
        ("running", True),
        ("vanished", False),
    ]
    assert last.reason == "the job succeeded, but its object is not there"


async def test_an_empty_object_is_no_object() -> None:
    async with staged() as stage:
        stage.misbehave("object_empty")
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        assert (await stage.ends(job)).verdict == "vanished"


@pytest.mark.parametrize("where", ["job", "entities", "sub_job"])
@pytest.mark.parametrize("words", ["upper", "lower", "texts"])
async def test_a_job_that_failed_for_good_has_failed_with_its_code(where: str, words: str) -> None:
    async with staged(failure_at=where, job_words=words, failed_job_code="IMG.0071") as stage:
        stage.misbehave("task_fails", message="rehearsed")
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        told = await stage.follow(job)
    assert told.verdict == "failed"
    assert told.answer == Answer("permanent_image", "the job failed: rehearsed", "IMG.0071")


@pytest.mark.parametrize("code", ["IMG.0014", "IMG.0069", "IMG.0148", "IMG.1075"])
async def test_a_job_that_failed_for_what_may_pass_is_asked_for_once_more(code: str) -> None:
    async with staged(failed_job_code=code) as stage:
        stage.misbehave("task_fails")
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        told = await stage.follow(job)
    assert (told.verdict, told.answer and told.answer.vendor_code) == ("vanished", code)


async def test_a_job_that_failed_without_a_reason_is_asked_for_once_more() -> None:
    async with staged(failure_at="nowhere") as stage:
        stage.misbehave("task_fails")
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        told = await stage.follow(job)
    assert (told.verdict, told.reason) == ("vanished", "the job failed: no reason is given")


async def test_a_job_that_failed_for_its_size_is_sent_again_as_a_quick_one() -> None:
    async with staged(failed_job_code="IMG.0160") as stage:
        stage.misbehave("task_fails", count=1)
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        told = await stage.follow(job)
        assert (told.verdict, told.answer and told.answer.vendor_code) == ("vanished", "IMG.0160")
        accepted = await stage.submit(replace(job, vendor_code="IMG.0160"))
    assert isinstance(accepted, Accepted)
    assert accepted.object_keys == (keys(job)[1],)


async def test_a_bucket_that_only_the_job_finds_wrong_fails_it() -> None:
    async with staged(bad_target="job", unwritable_buckets=[BUCKET]) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        told = await stage.follow(job)
    assert (told.verdict, told.answer and told.answer.vendor_code) == ("vanished", "IMG.0069")


@pytest.mark.parametrize("paths", [["progress"], ["project"], ["progress", "project"]])
async def test_a_job_is_asked_about_on_whichever_path_there_is(paths: list[str]) -> None:
    async with staged(job_paths=paths) as stage:
        for _ in range(2):
            told = await stage.ends(await stage.running(await stage.export()))
            assert told.verdict == "succeeded"
        assert stage.asked("ShowJobProgress", "ShowJob") == (3 if paths == ["project"] else 2)


MISSING: list[dict[str, Any]] = [
    {"missing_job_status": 404},
    {"missing_job_status": 400},
    {"missing_job_code": "IMG.0027"},
]


@pytest.mark.parametrize("missing", MISSING)
async def test_a_job_that_is_forgotten_is_judged_by_its_object(missing: dict[str, Any]) -> None:
    async with staged(job_kept_seconds=0.0, **missing) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(10)
        assert (await stage.ends(job)).verdict == "succeeded"


@pytest.mark.parametrize("missing", MISSING)
async def test_a_job_that_is_forgotten_and_left_nothing_has_vanished_at_its_deadline(missing: dict[str, Any]) -> None:
    async with staged(job_kept_seconds=0.0, **missing) as stage:
        stage.misbehave("task_fails")
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        job, early = await stage.polls(job)
        _, late = await stage.polls(job, overdue=True)
    assert (early.verdict, late.verdict) == ("running", "vanished")
    assert "does not know job" in early.reason


async def test_an_overdue_export_that_still_runs_is_running() -> None:
    async with staged(export_seconds=7200) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(3600)
        told = await stage.follow(job, overdue=True)
    assert (told.verdict, told.reason) == ("running", "the job is RUNNING, 50 %")


async def test_percentages_may_be_of_a_hundred() -> None:
    async with staged(export_seconds=7200, percent_scale=100) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(3600)
        assert (await stage.follow(job, overdue=True)).reason == "the job is RUNNING, 50 %"


async def test_an_export_whose_object_shows_no_more_has_vanished_at_its_deadline() -> None:
    async with staged() as stage:
        job = stage.as_running(await stage.export(), f"found:{START}", ("gone.qcow2",))
        early, late = await stage.follow(job), await stage.follow(job, overdue=True)
    assert (early.verdict, late.verdict) == ("running", "vanished")


async def test_whether_a_job_still_runs_is_asked_only_now_and_then() -> None:
    async with staged(export_seconds=7200) as stage:
        job = await stage.running(await stage.export())
        for _ in range(60):
            stage.clock.jump(30)
            job, told = await stage.polls(job)
            assert told.verdict == "running"
        assert stage.asked("ShowJobProgress") == 3


@pytest.mark.parametrize(
    ("fault", "klass"), [("throttle", "throttled"), ("status", "retry"), ("garbage", "retry"), ("drop", "unanswered")]
)
async def test_a_job_whose_state_is_not_told_goes_on(fault: str, klass: str) -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.misbehave(fault, "ShowJobProgress")
        told = await stage.follow(job, overdue=True)
        assert (told.verdict, told.answer and told.answer.klass) == ("running", klass)
        assert stage.asked("ShowJob") == 0


async def test_a_bucket_that_may_not_be_read_is_said_and_fails_at_the_deadline() -> None:
    async with staged(unreadable_buckets=[BUCKET]) as stage:
        job = await stage.running(await stage.export())
        stage.clock.jump(600)
        job, early = await stage.polls(job)
        _, late = await stage.polls(job, overdue=True)
    assert (early.verdict, late.verdict) == ("running", "failed")
    assert early.reason.startswith(
        "the job succeeded, but the object cannot be looked at: the storage answered HTTP 403"
    )
    assert late.answer is not None
    assert late.answer.klass == "permanent_config"


async def test_a_storage_that_is_down_does_not_fail_an_export_even_at_the_deadline() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        stage.misbehave("status", "HeadObject")
        assert (await stage.follow(job, overdue=True)).verdict == "running"


async def test_a_closed_account_leaves_every_job_running() -> None:
    async with staged() as stage:
        export, copy = await stage.running(await stage.export()), await stage.running(await stage.copy())
        stage.gate._closed_after = 0
        told = await stage.cloud.follow(REGION, [Following(export, overdue=True), Following(copy, overdue=True)])
    assert sorted(each.verdict for each in told) == ["running", "running"]


async def test_exports_are_followed_each_by_its_own_object() -> None:
    async with staged(exports_running=None) as stage:
        jobs = [await stage.running(await stage.export(image(stage.server))) for _ in range(20)]
        stage.misbehave("object_missing")
        missing = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        seen = await seen_twice(stage, [*jobs, missing])
    assert {told.job_id for told in seen if told.verdict == "succeeded"} == {job.id for job in jobs}
    assert next(told for told in seen if told.job_id == missing.id).verdict == "running"


async def seen_twice(stage: Stage, jobs: list[Job]) -> list[Any]:
    first = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
    memos = {told.job_id: told.memo for told in first}
    return list(
        await stage.cloud.follow(REGION, [Following(replace(job, memo=memos[job.id]), overdue=False) for job in jobs])
    )


async def test_an_image_that_is_gone_is_refused_for_good() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.server.remove_image(REGION, job.image_id)
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("permanent_image", "IMG.0027")


async def test_an_export_that_succeeds_ends_as_ok_with_the_request_that_began_it() -> None:
    async with staged() as stage:
        told = await stage.ends(replace(await stage.running(await stage.export()), klass="throttled", request_id="r-1"))
    assert told.answer == Answer("ok", told.reason, request_id="r-1")
