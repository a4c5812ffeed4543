from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import unique_part
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Absent, Accepted, Following, Found, Lost
from support.clocks import START
from support.gates import OpenGate
from support.jdcloud_rehearsals import OTHER_REGION, REGION, image
from support.jdcloud_stages import PLACE, new_job, staged

THIRD_REGION = "cn-east-2"


# --- freezing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "beginning"),
    [({}, "web-1"), ({"name": "given"}, "given"), ({"name": "x" * 32}, "x" * 19), ({"name": "镜像 1/a"}, "镜像-1-a")],
)
async def test_a_copy_is_frozen_with_a_name_of_its_own_that_fits_the_vendors_rule(
    options: dict[str, str], beginning: str
) -> None:
    async with staged() as stage:
        job = await stage.copy(**options)
    name = f"{beginning}-{unique_part(job.key)}"
    assert job.made_name == name
    assert re.fullmatch(r"[A-Za-z0-9\u3400-\u9fff_.-]{1,32}", name)
    plain = {"sourceImageIds": [job.image_id], "destinationRegion": OTHER_REGION}
    mark = f"imageferry {unique_part(job.key)}: copy of {job.image_id} from {REGION}"
    assert json.loads(job.request["body"]) == {**plain, "name": name, "description": mark}
    assert json.loads(job.request["plain"]) == plain


async def test_a_description_is_never_too_long() -> None:
    async with staged() as stage:
        job = new_job("copy", "i" * 128, OTHER_REGION)
        frozen = stage.cloud.freeze(job, Image(place=PLACE, id=job.image_id))
    assert len(json.loads(frozen.request["body"])["description"]) <= 256


# --- submitting ----------------------------------------------------------------------------------------------------


async def test_an_accepted_copy_tells_the_new_image() -> None:
    async with staged() as stage:
        job = await stage.copy(name="镜像")
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
        assert accepted == Accepted(task.new_image_id, task.request_id)
        assert (await stage.image(task.new_image_id, OTHER_REGION)).name == job.made_name


REFUSALS = [
    ("INVALID_ARGUMENT", "Invalid region 'xx'", "permanent_config"),
    ("FAILED_PRECONDITION", "Only support cloudDisk image", "permanent_image"),
    ("FAILED_PRECONDITION", "Invalid image status 'deleting'", "permanent_image"),
    ("FAILED_PRECONDITION", "Can't use this image", "permanent_image"),
    ("FAILED_PRECONDITION", "Conflict with underlay image task '1'", "wait_image"),
    ("FAILED_PRECONDITION", "The image 'img-1' is busy", "wait_image"),
    ("FAILED_PRECONDITION", "Copy encrypted snapshot 'snap-1' is not support.", "permanent_image"),
    ("QUOTA_EXCEEDED", "Image quota limit exceeded", "wait_quota"),
    ("QUOTA_EXCEEDED", "Snapshot quota limit exceeded", "wait_quota"),
    ("NOT_FOUND", "Image 'img-1' not found", "permanent_image"),
    ("INTERNAL", "Internal server error", "retry"),
    ("UNKNOWN", "Unknown server error", "retry"),
]


@pytest.mark.parametrize(("status", "message", "klass"), REFUSALS)
async def test_every_documented_refusal_comes_back_with_its_class_and_request_id(
    status: str, message: str, klass: Any
) -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("code", "copyImages", code=status, message=message)
        answer = await stage.refused(job)
        request = next(each for each in reversed(stage.server.requests.last) if each.action == "copyImages")
    assert answer == Answer(klass, message, status, request.request_id)
    assert stage.permit.answer == answer


@pytest.mark.parametrize("quota", ["image_quota", "snapshot_quota"])
async def test_a_full_region_is_waited_for_and_teaches_no_limit_of_tasks(quota: str) -> None:
    async with staged(**{quota: 0}) as stage:
        answer = await stage.refused(await stage.copy())
    assert (answer.klass, answer.about_running) == ("wait_quota", False)


async def test_an_encrypted_image_is_the_images_fault() -> None:
    async with staged() as stage:
        answer = await stage.refused(await stage.copy(image(stage.server, encrypted=True)))
    assert answer.klass == "permanent_image"


async def test_an_api_that_is_older_than_names_is_asked_without_them_and_that_is_remembered() -> None:
    async with staged(copy_names_known=False) as stage:
        first = await stage.submit(await stage.copy())
        assert stage.asked("copyImages") == 2
        assert stage.gate.entered[-1] == (REGION, "copy")
        second = await stage.submit(await stage.copy())
        assert stage.asked("copyImages") == 3
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)


async def test_a_refusal_that_names_nothing_strange_is_not_asked_again_without_names() -> None:
    async with staged() as stage:
        answer = await stage.refused(await stage.copy(region="mars"))
        assert stage.asked("copyImages") == 1
    assert (answer.klass, answer.message) == ("permanent_config", "Invalid region 'mars'")


async def test_a_refusal_that_stays_without_names_is_told_and_not_remembered() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("code", "copyImages", code="INVALID_ARGUMENT", message="not today", count=2)
        answer = await stage.refused(job)
        again = await stage.submit(job)
        assert stage.asked("copyImages") == 3
    assert (answer.klass, answer.message) == ("permanent_config", "not today")
    assert isinstance(again, Accepted)


async def test_an_account_that_closes_before_the_request_without_names_was_sent_nothing() -> None:
    async with staged(gate=OpenGate(closed_after=1), copy_names_known=False) as stage:
        answer = await stage.refused(await stage.copy())
    assert answer.klass == "never_sent"


@pytest.mark.parametrize("fault", ["drop", "garbage", "status"])
async def test_a_request_without_names_that_is_not_answered_is_unanswered(fault: str) -> None:
    async with staged(copy_names_known=False) as stage:
        await stage.submit(await stage.copy())
        job = await stage.copy()
        stage.misbehave(fault, "copyImages")
        assert (await stage.refused(job)).klass == "unanswered"


# --- solving a doubt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [8.0, 0.0])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("later", [1, 400])
async def test_a_lost_copy_is_found_whatever_the_api_is(zone: float, *, named: bool, later: int) -> None:
    async with staged(zone_hours=zone, copy_names_known=named) as stage:
        if not named:
            await stage.submit(await stage.copy())
        job = await stage.lost(await stage.copy())
        stage.clock.jump(later)
        found = await stage.find(job)
        task = stage.server.tasks[-1]
    assert isinstance(found, Found)
    assert found.task_ref == task.new_image_id


async def test_a_copy_that_is_found_by_its_name_costs_one_request_in_its_region() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy())
        before = len(stage.gate.entered)
        await stage.find(job)
        assert stage.gate.entered[before:] == [(OTHER_REGION, "read")]


async def test_a_copy_that_never_began_is_absent_but_not_for_certain() -> None:
    async with staged() as stage:
        job = await stage.copy()
        found = await stage.find(job)
    assert found == Absent(f"{OTHER_REGION} has no image named {job.made_name}, and no other copy since")


async def test_what_another_job_owns_is_never_adopted() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy())
        assert isinstance(await stage.find(job, stage.server.tasks[0].new_image_id), Absent)


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "web-1", "extra": {"description": "Copied from cn-north-1 img-another"}},
        {"name": "web-2", "extra": {"description": "Copied from cn-north-1 {id}"}},
        {
            "name": "web-1",
            "extra": {"description": "Copied from cn-north-1 {id}"},
            "created_at": START - 86_400 * SECOND,
        },
        {"name": "web-1"},
    ],
)
async def test_an_image_that_is_not_our_copy_is_not_adopted(facts: dict[str, Any]) -> None:
    async with staged() as stage:
        job = await stage.copy()
        text = json.loads(json.dumps(facts).replace("{id}", job.image_id))
        image(stage.server, region=OTHER_REGION, **text)
        assert isinstance(await stage.find(job), Absent)


async def test_a_copy_of_an_earlier_attempt_is_adopted() -> None:
    async with staged() as stage:
        job = await stage.copy()
        earlier = image(stage.server, region=OTHER_REGION, name=job.made_name, created_at=START - 86_400 * SECOND)
        found = await stage.find(job)
    assert isinstance(found, Found)
    assert found.task_ref == earlier


async def test_a_lost_copy_that_failed_ends_the_doubt() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("task_fails", "copyImages")
        await stage.lost(job)
        stage.clock.jump(400)
        found = await stage.find(job)
    assert isinstance(found, Lost)


async def test_a_copy_that_failed_in_an_earlier_attempt_does_not_end_it() -> None:
    async with staged() as stage:
        job = await stage.copy()
        old = START - 3600 * SECOND
        image(stage.server, region=OTHER_REGION, name=job.made_name, fails=True, created_at=old)
        assert isinstance(await stage.find(job), Absent)


async def test_a_name_among_hundreds_alike_is_found() -> None:
    async with staged() as stage:
        job = await stage.copy()
        for number in range(250):
            image(stage.server, region=OTHER_REGION, name=f"{job.made_name}{number}")
        ours = image(stage.server, region=OTHER_REGION, name=job.made_name)
        found = await stage.find(job)
    assert isinstance(found, Found)
    assert found.task_ref == ours


async def test_a_copy_that_shows_late_is_found_later() -> None:
    async with staged(copy_shows_seconds=30.0) as stage:
        job = await stage.lost(await stage.copy())
        assert isinstance(await stage.find(job), Absent)
        stage.clock.jump(31)
        assert isinstance(await stage.find(job), Found)


async def test_a_resend_while_the_lost_copy_runs_is_told_that_the_image_is_busy() -> None:
    async with staged(copy_seconds=600.0) as stage:
        job = await stage.lost(await stage.copy())
        assert (await stage.refused(stage.doubted(job))).klass == "wait_image"
        assert len(stage.server.tasks) == 1


async def test_a_doubt_raises_what_the_cloud_refused() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("throttle", "describeImages")
        with pytest.raises(Refused):
            await stage.find(job)


# --- following -----------------------------------------------------------------------------------------------------


async def test_a_copy_runs_until_the_new_image_is_ready_and_tells_how_far() -> None:
    async with staged(copy_seconds=100.0) as stage:
        job = await stage.running(await stage.copy())
        stage.clock.jump(50)
        job, early = await stage.polls(job)
        stage.clock.jump(60)
        job, late = await stage.polls(job)
    assert (early.verdict, late.verdict) == ("running", "succeeded")
    assert early.reason == f"the new image {job.task_ref} in {OTHER_REGION} is not ready yet: 50 %"
    assert stage.gate.entered[-1] == (OTHER_REGION, "read")


async def test_a_copy_that_fails_has_failed() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails", "copyImages")
        job = await stage.running(await stage.copy())
        stage.clock.jump(10)
        assert (await stage.follow(job)).verdict == "failed"


async def test_a_copy_that_is_being_deleted_has_failed() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.copy())
        image(stage.server, region=OTHER_REGION, image_id=job.task_ref, extra={"deleting": True})
        told = await stage.follow(job)
    assert (told.verdict, told.reason.endswith("is being deleted")) == ("failed", True)


@pytest.mark.parametrize("unknown_ids", ["empty", "error"])
async def test_a_copy_that_was_seen_and_is_gone_has_failed_at_the_second_look(unknown_ids: str) -> None:
    async with staged(copy_failure="gone", unknown_ids=unknown_ids) as stage:
        stage.misbehave("task_fails", "copyImages")
        job = await stage.running(await stage.copy())
        job, _ = await stage.polls(job)
        stage.clock.jump(10)
        job, first = await stage.polls(job)
        job, second = await stage.polls(job)
    assert [(each.verdict, each.soon) for each in (first, second)] == [("running", True), ("failed", False)]


async def test_a_copy_that_does_not_show_for_some_minutes_runs_on() -> None:
    async with staged(copy_shows_seconds=300.0, copy_seconds=400.0) as stage:
        job = await stage.running(await stage.copy())
        told = []
        for seconds in (1, 200, 150, 100):
            stage.clock.jump(seconds)
            job, progress = await stage.polls(job)
            told.append(progress.verdict)
    assert told == ["running", "running", "running", "succeeded"]


@pytest.mark.parametrize(("seconds", "overdue"), [(600, False), (1, True)])
async def test_a_copy_that_never_shows_fails_after_ten_minutes_or_at_its_deadline(
    seconds: int, *, overdue: bool
) -> None:
    async with staged() as stage:
        job = replace(await stage.running(await stage.copy()), task_ref="img-never")
        job, first = await stage.polls(job, overdue=overdue)
        stage.clock.jump(seconds)
        job, last = await stage.polls(job, overdue=overdue)
    assert (first.verdict, last.verdict) == ("running", "failed")


async def test_copies_are_looked_at_once_a_destination() -> None:
    async with staged() as stage:
        jobs = [await stage.running(await stage.copy(region=r)) for r in (OTHER_REGION, THIRD_REGION) for _ in range(5)]
        stage.gate.entered.clear()
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
    assert sorted(each.job_id for each in told) == sorted(job.id for job in jobs)
    assert sorted(stage.gate.entered) == [(THIRD_REGION, "read"), (OTHER_REGION, "read")]


async def test_a_destination_that_does_not_answer_holds_up_no_other() -> None:
    async with staged() as stage:
        jobs = {r: await stage.running(await stage.copy(region=r)) for r in (OTHER_REGION, THIRD_REGION)}
        stage.clock.jump(10)
        stage.misbehave("status", "describeImages", region=THIRD_REGION)
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs.values()])
    verdicts = {each.job_id: each.verdict for each in told}
    assert verdicts == {jobs[OTHER_REGION].id: "succeeded", jobs[THIRD_REGION].id: "running"}
