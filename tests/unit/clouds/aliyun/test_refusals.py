from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imageferry.clouds.aliyun.refusals import FRESH, PROBE_EVERY, PROBE_TAKES
from imageferry.core.times import SECOND
from imageferry.ports import Accepted
from support.aliyun_rehearsals import REGION, image
from support.aliyun_stages import Stage, staged
from support.clocks import START
from support.gates import OpenGate

FRANKFURT = "eu-central-1"


# --- an image that is not ready ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "klass", "state"),
    [
        ({"ready_seconds": 600.0}, "wait_image", "pending"),
        ({"fails": True}, "permanent_image", "failed"),
        ({"extra": {"deprecated": True}}, "permanent_image", "deprecated"),
    ],
)
@pytest.mark.parametrize("action", ["export", "copy"])
async def test_a_wrong_state_passes_only_while_the_image_is_not_ready_yet(
    facts: dict[str, Any], klass: str, state: str, action: str
) -> None:
    async with staged() as stage:
        job = await (stage.export if action == "export" else stage.copy)(image(stage.server, **facts))
        stage.misbehave("code", None, code="IncorrectImageStatus", count=1)
        answer = await stage.refused(job)
    assert answer.klass == klass
    assert answer.message.endswith(f"; the image is {state}")


async def test_a_wrong_state_of_an_image_that_is_ready_by_now_passes() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code="IncorrectImageStatus", count=1)
        assert (await stage.refused(job)).klass == "wait_image"


async def test_a_wrong_state_of_an_image_that_is_gone_does_not() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.server.remove_image(REGION, job.image_id)
        stage.misbehave("code", code="IncorrectImageStatus", count=1)
        answer = await stage.refused(job)
    assert (answer.klass, answer.message.endswith(f"the cloud does not have {job.image_id} in {REGION}")) == (
        "permanent_image",
        True,
    )


@pytest.mark.parametrize("closed", [True, False])
async def test_where_the_image_cannot_be_read_it_is_waited_for(*, closed: bool) -> None:
    async with staged(gate=OpenGate(closed_after=1) if closed else None) as stage:
        job = await stage.export()
        stage.misbehave("code", code="IncorrectImageStatus", count=1)
        stage.misbehave("status", "DescribeImages", status=503)
        answer = await stage.refused(job)
    assert answer.klass == "wait_image"
    assert "; how the image is was not answered: " in answer.message


# --- an image that is not known ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "klass"), [(0, "retry"), (FRESH - SECOND, "retry"), (FRESH, "permanent_image")])
async def test_an_image_that_is_not_known_may_be_too_new(age: int, klass: str) -> None:
    async with staged() as stage:
        job = replace(await stage.export(), sighted_at=START)
        stage.clock.jump(age / SECOND)
        stage.misbehave("code", code="InvalidImageId.NotFound")
        assert (await stage.refused(job)).klass == klass


# --- a few tries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "code", "klass"),
    [
        ("export", "ExportImageFailed", "permanent_image"),
        ("copy", "InvalidParameter.DataEncryptedKeyCreateFailed", "permanent_config"),
    ],
)
async def test_a_failure_inside_the_cloud_is_tried_three_times(action: str, code: str, klass: str) -> None:
    async with staged() as stage:
        job = await (stage.export if action == "export" else stage.copy)()
        stage.misbehave("code", None, code=code)
        told = []
        for attempts in range(4):
            answer = await stage.refused(replace(job, attempts=attempts, vendor_code=code if attempts else ""))
            told.append(answer.klass)
    assert told == ["retry", "retry", klass, klass]


async def test_tries_that_failed_otherwise_do_not_count() -> None:
    async with staged() as stage:
        job = replace(await stage.export(), attempts=7, vendor_code="InternalError")
        stage.misbehave("code", code="ExportImageFailed")
        assert (await stage.refused(job)).klass == "retry"


# --- the week's quota ----------------------------------------------------------------------------------------------


async def used_up(stage: Stage) -> None:
    """Use up the week's only export."""
    await stage.running(await stage.export())
    stage.clock.jump(60)


async def test_a_used_up_week_waits_for_hours_and_teaches_no_limit_of_running_tasks() -> None:
    async with staged(exports_a_week=1) as stage:
        await used_up(stage)
        answer = await stage.refused(await stage.export())
    assert (answer.klass, answer.about_running, answer.retry_after) == ("wait_quota", False, PROBE_EVERY)


async def test_while_a_week_is_used_up_no_other_export_of_its_region_is_sent() -> None:
    async with staged(exports_a_week=1) as stage:
        await used_up(stage)
        await stage.refused(await stage.export())
        stage.clock.jump(600)
        before = stage.asked("ExportImage")
        answer = await stage.refused(await stage.export())
        assert stage.asked("ExportImage") == before
        assert isinstance(await stage.submit(await stage.copy()), Accepted)
    assert (answer.klass, answer.vendor_code) == ("wait_quota", "WeeklyQuotaExceed.ExportImage")
    assert answer.retry_after == PROBE_EVERY - 600
    assert stage.permit.answer


async def test_another_region_is_not_held() -> None:
    async with staged(exports_a_week=1) as stage:
        await used_up(stage)
        await stage.refused(await stage.export())
        job = await stage.export()
        there = replace(job, place=job.place._replace(region=FRANKFURT))
        assert stage.cloud._refusals.held(there) is None
        assert stage.cloud._refusals.held(job) is not None


async def test_one_export_is_tried_in_a_while_and_the_others_wait_for_what_it_is_told() -> None:
    async with staged(exports_a_week=1) as stage:
        await used_up(stage)
        job = await stage.export()
        await stage.refused(job)
        stage.clock.jump(PROBE_EVERY)
        refusals = stage.cloud._refusals
        assert refusals.held(job) is None
        other = refusals.held(job)
        assert other
        assert other.retry_after == PROBE_TAKES
        again = await stage.refused(job)
    assert again.retry_after == PROBE_TAKES


async def test_a_new_week_lets_all_of_them_go() -> None:
    async with staged(exports_a_week=1, exports_running=None) as stage:
        await used_up(stage)
        job = await stage.export()
        await stage.refused(job)
        stage.clock.jump(PROBE_EVERY)
        stage.server.change({"exports_a_week": None})
        assert isinstance(await stage.submit(stage.claimed(job)), Accepted)
        assert isinstance(await stage.submit(await stage.export()), Accepted)


async def test_the_quota_of_running_exports_holds_nothing_up() -> None:
    async with staged(exports_running=1) as stage:
        await stage.running(await stage.export())
        answer = await stage.refused(await stage.export())
        assert (answer.about_running, answer.retry_after) == (True, None)
        stage.clock.jump(60)
        assert isinstance(await stage.submit(await stage.export()), Accepted)
