"""Looks: an event is a hint, the cloud is the truth, and no wait for an image is without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imageferry.core.account import Backoff, Polls, Timeouts
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import BACKFILL
from imageferry.errors import CircuitOpen, Refused
from imageferry.flow.inspect import GONE_LOOKS, HELD_BACK
from imageferry.ledgers.looks import MOST_PLANNED
from imageferry.ports import ImageRow, Move
from support.clouds import ScriptedCloud
from support.ledgers import PLACE, new_job
from support.policies import image, policies, policy
from support.stages import Stage, staged

SECOND = 1_000_000
ALL = policies(policy("archive"))
TIMES = {
    "timeouts": Timeouts(request=5, settle=90, image=600),
    "polls": Polls(tasks=30, images=20),
    "backoff": Backoff(first=4, longest=60, attempts=3),
}


def shown(**facts: Any) -> Image:
    return image(place=PLACE, **facts)


async def seen(stage: Stage, image_id: str = "img-1") -> ImageRow:
    [row] = await stage.ledger.image(image_id)
    return row


async def test_a_ready_image_is_decided_and_its_jobs_are_planned(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown()}
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.sight("img-1")
        await stage.look(ALL)
        job = await stage.job()
        assert ((await seen(stage)).outcome, job.state, job.destination) == (
            "decided",
            "planned",
            "archive-ap-guangzhou",
        )
        assert job.reason.startswith("policy archive: ")


async def test_an_image_that_is_not_ready_is_looked_at_again_until_its_deadline(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown(state="pending")}
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.sight("img-1")
        await stage.look(ALL)
        assert await stage.look(ALL) == 20
        stage.clock.jump(600)
        await stage.look(ALL)
        row = await seen(stage)
        assert (row.outcome, row.reason, row.due_at) == (
            "expired",
            "given up after 0.166667 h: the image is not ready yet",
            None,
        )


async def test_an_image_that_the_cloud_does_not_know_is_looked_for_a_few_times_only(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.sight("img-1")
        for _ in range(10):
            await stage.look(ALL)
            stage.clock.jump(10)
        assert ((await seen(stage)).outcome, len(cloud.looked)) == ("gone", GONE_LOOKS + 1)
        assert await stage.jobs() == []


async def test_a_failed_image_is_closed_without_a_decision(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown(state="failed")}
    async with staged(tmp_path, cloud) as stage:
        await stage.sight("img-1")
        await stage.look(ALL)
        assert ((await seen(stage)).reason, await stage.jobs()) == ("the cloud shows the image as failed", [])


async def test_four_hundred_images_are_four_requests(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    async with staged(tmp_path, cloud) as stage:
        await stage.sight(*(f"img-{number}" for number in range(400)))
        await stage.look(ALL)
        assert [len(batch) for batch in cloud.looked] == [100] * 4


async def test_a_question_that_is_refused_is_asked_again_later_and_given_up_at_the_deadline(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": Refused(Answer("retry", "internal error", "InternalError", "r-1"))}
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.sight("img-1")
        await stage.look(ALL)
        row = await seen(stage)
        assert (row.outcome, row.reason) == ("due", "could not be read: InternalError: internal error (request r-1)")
        stage.clock.jump(600)
        await stage.look(ALL)
        assert (await seen(stage)).outcome == "expired"


async def test_a_closed_account_is_not_asked_and_loses_nothing(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": CircuitOpen("prod", "its keys were refused")}
    async with staged(tmp_path, cloud) as stage:
        await stage.sight("img-1")
        await stage.look(ALL)
        row = await seen(stage)
        assert (row.outcome, row.reason) == ("due", "account prod is closed off: its keys were refused")


async def test_a_copy_that_imageferry_made_is_known_and_not_copied_on(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"task-1": shown(id="task-1", name="another name")}
    async with staged(tmp_path, cloud) as stage:
        [job] = await stage.planned(new_job("img-0", action="copy", destination=PLACE.region))
        await stage.submit("copy")
        [job] = [one for one in await stage.jobs() if one.id == job.id]
        await stage.site.carry_out([Move(job=job, to="succeeded", reason="done")])
        await stage.sight("task-1")
        await stage.look(ALL)
        row = await seen(stage, "task-1")
        assert row.image is not None
        assert (row.image.is_copy, [one.image_id for one in await stage.jobs()]) == (True, ["img-0"])


async def test_what_a_cloud_never_does_becomes_a_failed_job_without_a_request(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown(os="windows")}
    async with staged(tmp_path, cloud) as stage:
        await stage.sight("img-1")
        await stage.look(ALL)
        job = await stage.job()
        assert (job.state, job.klass, cloud.sent) == ("failed", "permanent_image", [])
        assert (stage.site.tally.failed, len(stage.announced), await stage.ledger.outbox_size()) == (1, 1, 1)


async def test_a_fact_that_stays_unknown_acts_on_nothing_and_is_said(tmp_path: Path) -> None:
    encrypted_only = policies(policy("sealed", match={"encrypted": True}))
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown(encrypted=None)}
    async with staged(tmp_path, cloud) as stage:
        await stage.sight("img-1")
        await stage.look(encrypted_only)
        assert ((await seen(stage)).reason.startswith("0 actions; not decided: sealed"), await stage.jobs()) == (
            True,
            [],
        )


async def test_every_verdict_is_counted(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown()}
    async with staged(tmp_path, cloud) as stage:
        await stage.sight("img-1")
        await stage.look(policies(policy("archive"), policy("windows", match={"os": "windows"})))
        text = stage.metrics.exposition().decode()
        assert 'imageferry_decisions_total{policy="archive",verdict="match"} 1.0' in text
        assert 'imageferry_decisions_total{policy="windows",verdict="no_match"} 1.0' in text


# --- back-fill -----------------------------------------------------------------------------------------------------


async def test_a_back_fill_of_one_policy_makes_no_action_of_another(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown()}
    both = policies(policy("archive"), policy("other", actions=[{"export": {"bucket": "other-{region}"}}]))
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.ledger.put_in(PLACE, ["img-1"], ["other"], stage.clock.now())
        await stage.look(both)
        job = await stage.job()
        assert (job.destination, job.policies, job.priority) == ("other-ap-guangzhou", ("other",), BACKFILL)
        row = await seen(stage)
        assert row.reason == "1 action; put in by backfill; only other asked"
        assert [v["policy"] for v in (row.decision or {})["verdicts"]] == ["other"]


async def test_a_back_fill_for_a_policy_that_is_gone_does_nothing(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown()}
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.ledger.put_in(PLACE, ["img-1"], ["removed"], stage.clock.now())
        await stage.look(ALL)
        assert ((await seen(stage)).outcome, await stage.jobs()) == ("decided", [])


async def test_a_new_policy_acts_on_no_image_that_was_decided_before(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    cloud.images = {"img-1": shown()}
    more = policies(policy("archive"), policy("new", actions=[{"export": {"bucket": "new-{region}"}}]))
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.sight("img-1")
        await stage.look(ALL)
        stage.clock.jump(86_400)
        await stage.look(more)
        assert [job.policies for job in await stage.jobs()] == [("archive",)]
        assert len(cloud.looked) == 1


async def test_a_back_fill_that_is_held_back_is_looked_for_again_soon(tmp_path: Path) -> None:
    cloud = ScriptedCloud()
    ids = [f"img-{n}" for n in range(MOST_PLANNED + 10)]
    cloud.images = {each: shown(id=each) for each in ids}
    async with staged(tmp_path, cloud, **TIMES) as stage:
        await stage.ledger.put_in(PLACE, ids, [], stage.clock.now())
        await stage.look(ALL)
        assert await stage.look(ALL) == HELD_BACK
        assert len(await stage.jobs()) == MOST_PLANNED
        job = (await stage.jobs())[0]
        await stage.ledger.move([Move(job=job, to="cancelled", reason="by hand")], stage.clock.now())
        await stage.look(ALL)
        assert len(await stage.jobs()) == MOST_PLANNED + 1
