"""What every cloud does with one job that nothing befalls, and with the same job asked for again."""

from __future__ import annotations

import pytest

from imageferry.core.image import Image
from imageferry.core.job import ActionKind
from imageferry.ports import Accepted
from support.trials import KINDS, Begin, named, states

NAMES = ("生产-数据库 01", "Größe & Maß: «web» 🚢", "x" * 120)


async def test_an_export_is_accepted_followed_and_names_its_objects(begin: Begin) -> None:
    async with begin() as trial:
        image_id, job = await trial.walk("export")
        assert (job.state, job.klass, job.sends) == ("succeeded", "ok", 1)
        assert trial.accepted == trial.once(("export", image_id, trial.bucket))
        assert named([job]) == trial.written


async def test_a_copy_is_accepted_followed_and_is_there(begin: Begin) -> None:
    async with begin() as trial:
        image_id, job = await trial.walk("copy")
        assert (job.state, job.klass, job.sends) == ("succeeded", "ok", 1)
        assert trial.accepted == trial.once(("copy", image_id, trial.entry.other_region))
        made = trial.cloud.tasks[0].new_image_id
        look = (await trial.stage.cloud.look(trial.entry.other_region, [made]))[made]
        assert (isinstance(look, Image) and look.state) == "ready"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_submit_tells_task_and_request(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        answer = await trial.sent(await trial.frozen(kind))
        assert isinstance(answer, Accepted)
        assert answer.task_ref
        assert answer.request_id == trial.cloud.tasks[0].request_id


@pytest.mark.parametrize("kind", KINDS)
async def test_any_name_can_be_exported_and_copied(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        names = {trial.image(name=name): name for name in NAMES}
        await trial.decided(trial.wanted(kind), *names)
        jobs = await trial.walked()
        assert states(jobs) == {"succeeded": len(NAMES)}
        assert {job.image_id: job.image_name for job in jobs} == names
        assert trial.accepted == trial.once(*((kind, each, trial.target(kind)) for each in names))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_image_told_again_starts_nothing_again(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        await trial.stage.submit(kind)
        await trial.decided(trial.wanted(kind, *KINDS), image_id)
        await trial.walked()
        await trial.decided(trial.wanted(*KINDS), image_id)
        jobs = await trial.walked()
        assert states(jobs) == {"succeeded": len(jobs)}
        assert all(count == 1 for count in trial.accepted.values())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_job_that_was_being_sent_when_the_daemon_died_starts_nothing_twice(
    begin: Begin, kind: ActionKind
) -> None:
    """The request left, its answer came to nobody: found at the next start as ``submitting``."""
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave("drop", kind, work="done", count=1)
        await trial.stage.submit(kind)
        site = trial.stage.site
        await trial.stage.ledger.recover("prod", site.region, trial.stage.clock.now(), trial.stage.clock.now())
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


async def test_copies_to_two_regions_and_exports_to_two_buckets_are_four_tasks(begin: Begin) -> None:
    async with begin() as trial:
        image_id = trial.image()
        entry = trial.entry
        everywhere = [("export", bucket) for bucket in entry.buckets]
        everywhere += [("copy", region) for region in (entry.other_region, entry.third_region)]
        await trial.decided(trial.everywhere(), image_id)
        jobs = await trial.walked()
        assert states(jobs) == {"succeeded": 4}
        assert trial.accepted == trial.once(*((kind, image_id, to) for kind, to in everywhere))  # type: ignore[misc] # literals
        assert named(jobs) == trial.written
