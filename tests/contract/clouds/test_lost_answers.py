"""What every cloud does about a request without an answer: it is looked for, and nothing is started twice."""

from __future__ import annotations

from typing import Any

import pytest

from imageferry.core.job import ActionKind
from support.trials import KINDS, Begin, action, named, states

LOST: dict[str, dict[str, Any]] = {
    "dropped before the work": {"fault": "drop", "work": "none"},
    "dropped after the work": {"fault": "drop", "work": "done"},
    "dropped, the work late": {"fault": "drop", "work": "late", "after": 60.0},
    "503 before the work": {"fault": "status", "status": 503, "work": "none"},
    "503 after the work": {"fault": "status", "status": 503, "work": "done"},
    "502, the work late": {"fault": "status", "status": 502, "work": "late", "after": 30.0},
    "garbage before the work": {"fault": "garbage", "work": "none"},
    "garbage after the work": {"fault": "garbage", "work": "done"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST.keys())
async def test_a_lost_answer_starts_nothing_twice(begin: Begin, kind: ActionKind, fault: dict[str, Any]) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave(kind=kind, count=1, **fault)
        await trial.stage.submit(kind)
        assert (await trial.stage.job()).state == "in_doubt"
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))
        assert named([job]) == trial.written


@pytest.mark.parametrize("kind", KINDS)
async def test_a_task_that_runs_for_long_is_not_started_again_beside_itself(begin: Begin, kind: ActionKind) -> None:
    """It still runs when it is looked for, and ends some time after."""
    async with begin(export_seconds=200.0, copy_seconds=200.0) as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave("drop", kind, work="done", count=1)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_that_are_lost_again_and_again_start_nothing_twice(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave("drop", kind, work="none", count=2)
        trial.misbehave("drop", kind, work="late", after=45.0, count=1)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


@pytest.mark.parametrize("work", ["none", "done"])
async def test_an_export_of_the_same_image_to_another_bucket_is_never_adopted(begin: Begin, work: str) -> None:
    async with begin(export_seconds=150.0) as trial:
        image_id = trial.image()
        first, second = trial.entry.buckets
        both = trial.policies(*(action(trial.entry, "export", bucket) for bucket in (first, second)))
        await trial.decided(both, image_id)
        trial.misbehave("drop", "export", destination=second, work=work, count=1)
        jobs = await trial.walked()
        assert states(jobs) == {"succeeded": 2}
        assert trial.accepted == trial.once(("export", image_id, first), ("export", image_id, second))
        assert named(jobs) == trial.written


async def test_a_strangers_export_of_the_same_image_is_never_adopted(begin: Begin) -> None:
    """Somebody else exports the image to the same bucket while it is not known whether ours was begun."""
    async with begin() as trial:
        image_id = await trial.job_of("export")
        trial.misbehave("drop", "export", work="none", count=1)
        await trial.stage.submit("export")
        stranger = await trial.frozen("export", image_id)
        other = stranger.key[::-1]
        anothers = await trial.frozen("export", image_id, key=other)
        assert not isinstance(await trial.sent(anothers), str)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == {("export", image_id, trial.bucket): 2}
        assert len(named([job])) == 1
        assert named([job]) < trial.written
        [key] = job.object_keys
        assert job.key[:12] in key


@pytest.mark.parametrize("kind", KINDS)
async def test_a_doubt_survives_a_restart(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave("drop", kind, work="done", count=1)
        await trial.stage.submit(kind)
        now = trial.stage.clock.now()
        await trial.stage.ledger.recover("prod", trial.entry.region, now, now)
        [job] = await trial.walked()
        assert (job.state, trial.accepted) == (
            "succeeded",
            trial.once((kind, image_id, trial.target(kind))),
        )


async def test_a_lost_copy_that_has_failed_is_not_begun_again_unasked(begin: Begin) -> None:
    """Where the cloud shows that it has failed the doubt ends with it; where it vanished it may be sent once more."""
    async with begin() as trial:
        await trial.job_of("copy")
        trial.misbehave("task_fails", "copy", count=1)
        trial.misbehave("drop", "copy", work="done", count=1)
        [job] = await trial.walked()
        assert (job.state, sum(trial.accepted.values())) in {("failed", 1), ("succeeded", 2)}
