"""Sweeping: what has waited past its deadline is given up with its reason; the gauges tell what the ledger holds."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from imageferry.core.account import Timeouts
from imageferry.core.answers import Answer
from imageferry.core.image import Place
from imageferry.core.job import Job
from imageferry.flow.sweep import BATCH, EVERY
from imageferry.ports import Move
from support.clouds import ScriptedCloud
from support.ledgers import NOW, job_in, new_job
from support.stages import staged

SECOND = 1_000_000
FULL = Answer("wait_quota", "five run already", "LimitExceeded.ExportImageTaskLimitExceeded", "r-1", about_running=True)


async def test_a_job_whose_quota_never_gets_free_is_failed_at_its_deadline_with_the_reason(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.answers = deque([FULL])
    async with staged(tmp_path, cloud) as stage:
        await stage.planned(new_job(give_up_at=NOW + 600 * SECOND))
        await stage.submit()
        stage.clock.jump(600)
        await stage.sweep()
        job = await stage.job()
        assert (job.state, job.klass, job.vendor_code) == ("failed", "wait_quota", FULL.vendor_code)
        assert job.reason == f"given up: it could not be submitted in time. Last: {FULL}"


async def test_an_image_that_stays_busy_is_given_up_with_the_images_time_out(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.answers = deque([Answer("wait_image", "busy", "ResourceInUse", "r-1")])
    async with staged(tmp_path, cloud, timeouts=Timeouts(request=5, settle=9, image=300)) as stage:
        await stage.planned(new_job())
        await stage.submit()
        stage.clock.jump(301)
        await stage.sweep()
        job = await stage.job()
        assert (job.state, job.klass) == ("failed", "wait_image")


async def test_what_has_time_left_or_has_ended_is_left_alone(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await job_in(stage.ledger, "planned", "img-1")
        await job_in(stage.ledger, "succeeded", "img-2", give_up_at=NOW + 1)
        stage.clock.jump(60)
        await stage.sweep()
        assert sorted(job.state for job in await stage.jobs()) == ["planned", "succeeded"]


async def test_a_job_of_an_account_that_is_no_longer_configured_is_left_to_a_person(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        elsewhere = Place("tencent", "former", "ap-guangzhou")
        await stage.planned(new_job(place=elsewhere, give_up_at=NOW + 1))
        stage.clock.jump(60)
        await stage.sweep()
        assert (await stage.job()).state == "planned"


async def test_the_end_is_announced(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.planned(new_job(give_up_at=NOW + 1))
        stage.clock.jump(60)
        assert await stage.sweep() == EVERY
        assert (len(stage.announced), await stage.ledger.outbox_size(), stage.site.tally.failed) == (1, 1, 1)


async def test_the_gauges_count_what_the_ledger_holds(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await job_in(stage.ledger, "running", "img-1")
        await job_in(stage.ledger, "succeeded", "img-2")
        await job_in(stage.ledger, "planned", "img-3")
        stage.clock.jump(30)
        await stage.sweep()
        text = stage.metrics.exposition().decode()
    here = 'account="prod",action="export",cloud="tencent",region="ap-guangzhou"'
    assert f'imageferry_jobs{{{here},state="running"}} 1.0' in text
    assert f'imageferry_jobs{{{here},state="succeeded"}} 1.0' in text
    assert f'imageferry_jobs{{{here},state="failed"}} 0.0' in text
    assert f"imageferry_lane_running{{{here}}} 1.0" in text
    assert 'imageferry_unprotected_images{policy="archive"} 2.0' in text
    assert 'imageferry_oldest_unprotected_seconds{policy="archive"} 30.0' in text
    assert "imageferry_outbox_pending 1.0" in text


async def test_a_policy_whose_images_are_all_protected_goes_back_to_zero(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.planned(new_job())
        await stage.sweep()
        await stage.submit()
        cloud: ScriptedCloud = stage.cloud
        assert len(cloud.sent) == 1
        [job] = await stage.jobs()
        await stage.ledger.move([_done(job)], stage.clock.now())
        await stage.sweep()
        assert 'imageferry_unprotected_images{policy="archive"} 0.0' in stage.metrics.exposition().decode()


def _done(job: Job) -> Move:
    return Move(job=job, to="succeeded", reason="done")


async def test_jobs_that_are_left_to_a_person_do_not_hide_those_behind_them(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        elsewhere = Place("tencent", "former", "ap-guangzhou")
        await stage.planned(*(new_job(f"img-{i}", place=elsewhere, give_up_at=NOW + 1) for i in range(BATCH)))
        [mine] = await stage.planned(new_job("img-mine", give_up_at=NOW + 2))
        stage.clock.jump(60)
        await stage.sweep()
        ended = [job.id for job in await stage.jobs() if job.state == "failed"]
        assert ended == [mine.id]


async def test_a_wait_for_quota_after_one_for_the_image_has_the_actions_own_time_again(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.answers = deque([Answer("wait_image", "busy", "ResourceInUse", "r-1"), FULL])
    async with staged(tmp_path, cloud, timeouts=Timeouts(request=5, settle=9, image=300)) as stage:
        await stage.planned(new_job(give_up_at=NOW + 900 * SECOND))
        await stage.submit()
        await stage.until_due()
        await stage.submit()
        assert (await stage.job()).klass == "wait_quota"
        stage.clock.jump(301)
        await stage.sweep()
        assert (await stage.job()).state == "planned"
        stage.clock.jump(600)
        await stage.sweep()
        assert (await stage.job()).state == "failed"
