from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import anyio
import pytest

from imageferry.clouds.huawei import codes
from imageferry.core.answers import Answer
from imageferry.core.job import Job, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Absent, Accepted, Following, Found, Lost
from imageferry.rehearsal.huawei_options import AGENCY
from support.clocks import START
from support.gates import OpenGate
from support.huawei_rehearsals import OTHER_REGION, REGION, image
from support.huawei_stages import STATIC, staged

THIRD = "cn-south-1"
FREE: dict[str, Any] = {"copies_running": None, "image_quota": None}


def made_elsewhere(job: Job, origin: str = "image,cn-north-1,another") -> dict[str, Any]:
    """An image of the job's name that is no copy of its image."""
    return {"region": job.destination, "name": job.made_name, "extra": {"data_origin": origin}}


# --- freezing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "beginning"),
    [
        ({}, "web-1"),
        ({"name": "生产 given"}, "生产 given"),
        ({"name": "a/b<c>"}, "a-b-c-"),
        ({"name": " outer "}, "outer"),
        ({"name": "é"}, "-"),
        ({"name": "x" * 200}, "x" * 115),
    ],
)
async def test_a_copy_is_frozen_with_a_name_of_its_own_that_is_taken(options: dict[str, str], beginning: str) -> None:
    async with staged() as stage:
        job = await stage.copy(**options)
        accepted = await stage.submit(job)
    assert job.made_name == f"{beginning}-{unique_part(job.key)}"
    assert len(job.made_name) <= 128
    assert job.request["path"] == f"v1/cloudimages/{job.image_id}/cross_region_copy"
    assert json.loads(job.request["body"]) == {
        "name": job.made_name,
        "region": OTHER_REGION,
        "project_name": OTHER_REGION,
        "agency_name": AGENCY,
    }
    assert isinstance(accepted, Accepted)


async def test_another_project_of_the_target_is_named_and_looked_into() -> None:
    team = f"{OTHER_REGION}_team"
    async with staged(projects={team: "7" * 32}) as stage:
        job = await stage.running(await stage.copy(project=team))
        told = await stage.ends(job)
        asked = stage.asked("KeystoneListProjects")
    assert (json.loads(job.request["body"])["project_name"], told.verdict, asked) == (team, "succeeded", 1)


# --- submitting ----------------------------------------------------------------------------------------------------


async def test_an_accepted_copy_tells_its_job() -> None:
    async with staged() as stage:
        job = await stage.copy()
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
    assert accepted == Accepted(task.id, task.request_id)


async def test_every_code_comes_back_with_its_class_and_request_id() -> None:
    async with staged() as stage:
        job = await stage.copy()
        for code in sorted(codes.IMS.keys() - codes.NAME_TAKEN):
            stage.misbehave("code", "CopyImageCrossRegion", code=code, message="because", count=1)
            answer = await stage.refused(replace(job, vendor_code=code))
            request = next(
                each for each in reversed(stage.server.requests.last) if each.action == "CopyImageCrossRegion"
            )
            about_running = code in ("IMG.0060", "IMG.0149")
            expected = Answer(codes.IMS[code], "because", code, request.request_id, about_running=about_running)
            assert answer == expected


async def test_the_sixth_copy_at_once_waits_and_teaches_the_limit() -> None:
    async with staged() as stage:
        for _ in range(5):
            await stage.running(await stage.copy())
        answer = await stage.refused(await stage.copy())
    assert (answer.klass, answer.vendor_code, answer.about_running) == ("wait_quota", "IMG.0149", True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"agencies": {}}, "IMG.0179"),
        ({"agencies": {AGENCY: [REGION]}}, "IMG.0151"),
        ({"refused_destinations": {OTHER_REGION: "IMG.0147"}}, "IMG.0147"),
    ],
)
async def test_what_the_target_does_not_allow_is_for_a_person(options: dict[str, Any], code: str) -> None:
    async with staged(**options) as stage:
        answer = await stage.refused(await stage.copy())
    assert (answer.klass, answer.vendor_code) == ("permanent_config", code)


@pytest.mark.parametrize("fault", ["status", "garbage", "drop"])
async def test_a_submit_without_a_readable_answer_is_unanswered_and_sent_once(fault: str) -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy(), fault)
        assert (stage.asked("CopyImageCrossRegion"), len(stage.server.tasks)) == (1, 1)
    assert job.made_name


@pytest.mark.parametrize("shows", [True, False])
async def test_a_name_that_our_own_earlier_copy_has_is_that_copy(*, shows: bool) -> None:
    async with staged(copies_show_origin=shows) as stage:
        job = await stage.lost(await stage.copy())
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
    assert isinstance(accepted, Accepted)
    assert (accepted.task_ref, bool(accepted.request_id)) == (f"image:{task.new_image_id}", True)


async def test_a_name_that_an_image_of_another_origin_has_is_for_a_person() -> None:
    async with staged() as stage:
        job = await stage.copy()
        image(stage.server, **made_elsewhere(job))
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("permanent_config", "IMG.0009")


async def test_a_name_that_a_failed_copy_has_is_for_a_person() -> None:
    async with staged(copy_failure="killed") as stage:
        stage.misbehave("task_fails", "CopyImageCrossRegion")
        job = await stage.lost(await stage.copy())
        stage.clock.jump(60)
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("permanent_config", "IMG.0009")


async def test_a_taken_name_that_no_list_shows_yet_is_looked_into_later() -> None:
    async with staged(copy_shows_seconds=60) as stage:
        job = await stage.lost(await stage.copy())
        answer = await stage.refused(job)
        stage.clock.jump(61)
        found = await stage.find(job)
    assert (answer.klass, answer.vendor_code, isinstance(found, Found)) == ("retry", "IMG.0009", True)


@pytest.mark.parametrize("closed", [True, False])
async def test_a_taken_name_that_cannot_be_looked_up_is_looked_into_later(*, closed: bool) -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy())
        if closed:
            stage.gate._closed_after = 0
        else:
            stage.misbehave("throttle", "ListImages")
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("retry", "IMG.0009")


async def test_a_later_life_of_a_job_adopts_what_an_earlier_one_made() -> None:
    async with staged(names_checked="never") as stage:
        job = await stage.lost(await stage.copy())
        stage.clock.jump(86_400)
        accepted = await stage.submit(replace(job, attempt=2))
        [task] = stage.server.tasks
    assert accepted == Accepted(f"image:{task.new_image_id}")


async def test_a_later_life_of_a_job_that_finds_nothing_is_sent() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.gate.entered.clear()
        assert isinstance(await stage.submit(replace(job, attempt=2)), Accepted)
        assert stage.gate.entered == [(OTHER_REGION, "read"), (REGION, "copy")]
    assert stage.permit.answer is not None
    assert stage.permit.answer.klass == "never_sent"


async def test_a_later_life_of_a_job_that_cannot_look_is_not_sent() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("status", "ListImages")
        answer = await stage.refused(replace(job, attempt=2))
        assert (answer.klass, stage.asked("CopyImageCrossRegion")) == ("never_sent", 0)


async def test_a_later_life_of_a_closed_account_is_not_sent() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.gate._closed_after = 0
        assert (await stage.refused(replace(job, attempt=2))).klass == "never_sent"


# --- solving a doubt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names_checked", ["call", "job", "never"])
@pytest.mark.parametrize("shows", [True, False])
async def test_a_lost_copy_is_found_by_its_name_and_followed(names_checked: str, *, shows: bool) -> None:
    async with staged(names_checked=names_checked, copies_show_origin=shows) as stage:
        job = await stage.lost(await stage.copy())
        found = await stage.find(job)
        assert isinstance(found, Found)
        assert found.task_ref == f"image:{stage.server.tasks[0].new_image_id}"
        told = await stage.ends(stage.as_running(job, found.task_ref))
        assert (told.verdict, stage.asked("ShowJobProgress")) == ("succeeded", 0)


async def test_another_jobs_copy_is_never_adopted() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy())
        found = await stage.find(job)
        assert isinstance(found, Found)
        assert isinstance(await stage.find(job, found.task_ref), Absent)


async def test_an_image_of_another_origin_is_not_ours() -> None:
    async with staged() as stage:
        job = await stage.copy()
        image(stage.server, **made_elsewhere(job))
        assert isinstance(await stage.find(job), Absent)


async def test_a_copy_that_names_what_its_source_was_made_from_is_ours() -> None:
    origin = "image,cn-north-1,grandparent"
    async with staged() as stage:
        job = await stage.copy(image(stage.server, extra={"data_origin": origin}))
        ours = image(stage.server, **made_elsewhere(job, origin))
        found = await stage.find(job)
    assert isinstance(found, Found)
    assert found.task_ref == f"image:{ours}"


async def test_a_copy_that_never_began_is_absent_but_not_for_certain() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.gate.entered.clear()
        assert await stage.find(job) == Absent(f"{OTHER_REGION} has no image named {job.made_name}")
        assert stage.gate.entered == [(OTHER_REGION, "read")]


async def test_a_lost_copy_that_failed_ends_the_doubt() -> None:
    async with staged(copy_failure="killed") as stage:
        stage.misbehave("task_fails", "CopyImageCrossRegion")
        job = await stage.lost(await stage.copy())
        stage.clock.jump(60)
        assert isinstance(await stage.find(job), Lost)


async def test_a_copy_that_failed_before_the_send_is_not_the_lost_one() -> None:
    async with staged() as stage:
        job = await stage.copy()
        failed = {"region": OTHER_REGION, "name": job.made_name, "fails": True, "created_at": START - 61 * SECOND}
        image(stage.server, **failed)
        assert isinstance(await stage.find(job), Absent)


async def test_a_doubt_about_a_copy_raises_what_the_cloud_refused() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("throttle", "ListImages")
        with pytest.raises(Refused):
            await stage.find(job)


# --- following -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["always", "at_end", "source_first", "never"])
@pytest.mark.parametrize("shows", [True, False])
async def test_a_copy_runs_until_the_new_image_is_ready(names: str, *, shows: bool) -> None:
    async with staged(copy_names_image=names, copies_show_origin=shows, copy_late_seconds=40) as stage:
        job = await stage.running(await stage.copy())
        early = await stage.follow(job)
        stage.clock.jump(10)
        pending = await stage.follow(job)
        told = await stage.ends(job)
        [task] = stage.server.tasks
        assert stage.asked("ShowJobProgress") == 0
    assert [early.verdict, pending.verdict, told.verdict] == ["running", "running", "succeeded"]
    assert told.reason == f"the new image {task.new_image_id} in {OTHER_REGION} is ready"


@pytest.mark.parametrize("names", ["always", "never"])
async def test_a_copy_that_lists_show_late_is_waited_for(names: str) -> None:
    async with staged(copy_seconds=600, copy_shows_seconds=630, copy_names_image=names) as stage:
        told = await stage.ends(await stage.running(await stage.copy()), 60)
    assert told.verdict == "succeeded"


@pytest.mark.parametrize("failure", ["killed", "gone"])
async def test_a_copy_that_fails_has_failed_with_its_jobs_code(failure: str) -> None:
    async with staged(copy_failure=failure, failed_job_code="IMG.0146") as stage:
        stage.misbehave("task_fails", "CopyImageCrossRegion", message="rehearsed")
        told = await stage.ends(await stage.running(await stage.copy()), 60)
    assert told.verdict == "failed"
    assert told.answer == Answer("permanent_image", "the job failed: rehearsed", "IMG.0146")


async def test_a_copy_that_fails_for_what_may_pass_is_asked_for_once_more() -> None:
    async with staged(failed_job_code="IMG.0014") as stage:
        stage.misbehave("task_fails", "CopyImageCrossRegion")
        told = await stage.ends(await stage.running(await stage.copy()), 60)
    assert (told.verdict, told.answer and told.answer.vendor_code) == ("vanished", "IMG.0014")


async def test_a_copy_whose_job_finds_its_name_taken_by_our_own_is_that_one() -> None:
    async with staged(names_checked="job") as stage:
        first = await stage.lost(await stage.copy())
        second = await stage.running(first)
        told = await stage.ends(second)
        assert told.reason == f"the new image {stage.server.tasks[0].new_image_id} in {OTHER_REGION} is ready"
    assert told.verdict == "succeeded"


async def test_a_failed_copy_of_a_job_that_is_forgotten_has_failed() -> None:
    async with staged(copy_failure="killed", job_kept_seconds=0.0) as stage:
        stage.misbehave("task_fails", "CopyImageCrossRegion")
        job = await stage.running(await stage.copy())
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert (told.verdict, told.answer and told.answer.klass) == ("failed", "permanent_image")


async def test_a_copy_whose_image_is_deleted_at_once_has_failed_after_a_while() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.copy())
        stage.clock.jump(10)
        stage.server.remove_image(OTHER_REGION, stage.server.tasks[0].new_image_id)
        told = await stage.ends(job, 60)
        assert stage.asked("ShowJobProgress") == 1
    assert (told.verdict, told.reason.startswith("the new image is not there")) == ("failed", True)


async def test_a_found_copy_whose_image_is_gone_has_failed_after_a_while() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy())
        ref = f"image:{stage.server.tasks[0].new_image_id}"
        stage.server.remove_image(OTHER_REGION, stage.server.tasks[0].new_image_id)
        told = await stage.ends(stage.as_running(job, ref))
        assert stage.asked("ShowJobProgress") == 0
    assert told.verdict == "failed"


async def test_a_found_copy_that_got_another_name_is_followed_by_its_id() -> None:
    async with staged() as stage:
        job = await stage.copy()
        renamed = image(stage.server, region=OTHER_REGION, name="renamed")
        told = await stage.follow(stage.as_running(job, f"image:{renamed}"))
    assert told.verdict == "succeeded"


async def test_a_copy_that_nobody_knows_has_vanished_at_its_deadline() -> None:
    async with staged(job_kept_seconds=0.0) as stage:
        stage.misbehave("task_fails", "CopyImageCrossRegion")
        job = await stage.running(await stage.copy())
        stage.clock.jump(600)
        job, early = await stage.polls(job)
        _, late = await stage.polls(job, overdue=True)
    assert (early.verdict, late.verdict) == ("running", "vanished")


async def test_an_overdue_copy_that_still_runs_is_running() -> None:
    async with staged(copy_seconds=7200, copy_shows_seconds=7200) as stage:
        job = await stage.running(await stage.copy())
        assert (await stage.follow(job, overdue=True)).verdict == "running"


async def test_copies_are_looked_at_once_a_target_and_once_a_while() -> None:
    async with staged(**FREE) as stage:
        jobs = [await stage.running(await stage.copy(image(stage.server))) for _ in range(100)]
        before = stage.asked("ListImages")
        for _ in range(3):
            told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
            assert sorted(each.job_id for each in told) == sorted(job.id for job in jobs)
        assert stage.asked("ListImages") - before == 1
        stage.clock.jump(10)
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
        assert stage.asked("ListImages") - before == 2
    assert {each.verdict for each in told} == {"succeeded"}


async def test_a_list_of_the_newest_is_not_read_further_back_than_the_copies_go() -> None:
    async with staged(**FREE) as stage:
        for number in range(500):
            image(stage.server, region=OTHER_REGION, created_at=START - (3600 + number) * SECOND)
        jobs = [await stage.copy() for _ in range(3)]
        jobs = [stage.as_running(job, "an-unknown-job") for job in jobs]
        before = stage.asked("ListImages")
        await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
        assert stage.asked("ListImages") - before == 1


async def test_batches_that_are_followed_side_by_side_read_each_page_of_a_list_once() -> None:
    async with staged(**FREE) as stage:
        jobs = [await stage.running(await stage.copy(image(stage.server))) for _ in range(130)]
        before, told = stage.asked("ListImages"), []

        async def follow(some: list[Job]) -> None:
            told.extend(await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in some]))

        async with anyio.create_task_group() as group:
            for start in range(0, len(jobs), 40):
                group.start_soon(follow, jobs[start : start + 40])
        assert stage.asked("ListImages") - before == 2
    assert {each.reason.partition(" in ")[2] for each in told} == {f"{OTHER_REGION} is not ready yet"}


async def test_a_page_that_is_not_answered_is_asked_for_again() -> None:
    async with staged(**FREE) as stage:
        jobs = [await stage.running(await stage.copy(image(stage.server))) for _ in range(3)]
        stage.misbehave("throttle", "ListImages", count=1)
        first, again = [
            await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs]) for _ in range(2)
        ]
    assert {each.reason.partition(": ")[0] for each in first} == {"the new image cannot be looked at"}
    assert {each.reason.partition(" in ")[2] for each in again} == {f"{OTHER_REGION} is not ready yet"}


async def test_a_target_that_does_not_answer_holds_up_no_other() -> None:
    async with staged(account={"credentials": replace(STATIC, projects={})}) as stage:
        jobs = {r: await stage.running(await stage.copy(region=r)) for r in (OTHER_REGION, THIRD)}
        stage.clock.jump(10)
        stage.misbehave("status", "ListImages", region=THIRD)
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs.values()])
    verdicts = {each.job_id: each.verdict for each in told}
    assert verdicts == {jobs[OTHER_REGION].id: "succeeded", jobs[THIRD].id: "running"}


async def test_a_job_whose_state_is_not_told_goes_on() -> None:
    async with staged(copy_shows_seconds=7200) as stage:
        job = await stage.running(await stage.copy())
        stage.misbehave("throttle", "ShowJobProgress")
        told = await stage.follow(job, overdue=True)
    assert (told.verdict, told.answer and told.answer.klass) == ("running", "throttled")


async def test_an_account_that_is_closed_between_list_and_job_leaves_it_running() -> None:
    async with staged(gate=OpenGate(closed_after=3), copy_shows_seconds=7200) as stage:
        job = await stage.running(await stage.copy())
        told = await stage.follow(job, overdue=True)
    assert told.verdict == "running"


async def test_a_copy_that_succeeds_ends_as_ok_with_the_request_that_began_it() -> None:
    async with staged() as stage:
        told = await stage.ends(replace(await stage.running(await stage.copy()), klass="throttled", request_id="r-1"))
    assert told.answer == Answer("ok", told.reason, request_id="r-1")
