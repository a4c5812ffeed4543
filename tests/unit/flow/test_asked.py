"""What commands ask over the socket: every request has an answer, and what it changes is heard at once."""

from __future__ import annotations

from pathlib import Path

from imageferry.flow.asked import Asked
from imageferry.flow.backfill import Batch
from imageferry.flow.drive import Bell
from support.ledgers import ELSEWHERE, PLACE, job_in
from support.stages import Stage, staged


def asked(stage: Stage) -> Asked:
    accounts = {"prod": stage.site.account}
    return Asked(stage.ledger, stage.clock, accounts, [stage.site], lambda: ["archive"], stage.site.announce)


async def woken(stage: Stage, bell: Bell) -> bool:
    """Whether a bell was rung: else resting at it takes its time."""
    before = stage.clock.now()
    await bell.rest(60)
    return stage.clock.now() == before


async def test_a_job_is_steered_and_everyone_is_woken(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, "planned")
        answer = await asked(stage)({"do": "cancel", "job": job.id})
        assert (answer["job"]["id"], answer["job"]["state"]) == (job.id, "cancelled")
        assert len(stage.announced) == 1
        assert await woken(stage, stage.site.bells.export)


async def test_what_cannot_be_done_is_answered_with_the_reason(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert await asked(stage)({"do": "retry", "job": "nobody"}) == {
            "error": "there is no job nobody; `imageferry jobs list` shows them"
        }
        assert await asked(stage)({"do": "dance"}) == {
            "error": "this daemon cannot 'dance'; expected one of retry, cancel, backfill"
        }
        assert "expected one of" in (await asked(stage)({}))["error"]


async def test_old_images_are_put_in_and_the_looking_loop_hears_of_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        answer = await asked(stage)(Batch(PLACE, ("img-1",), ("archive",)).to_request())
        assert answer == {"put_in": 1, "waiting": 0}
        assert await woken(stage, stage.site.bells.look)


async def test_a_batch_that_does_not_fit_is_answered_with_the_reason(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert "not in force" in (await asked(stage)(Batch(PLACE, ("img-1",), ("dr",)).to_request()))["error"]
        assert await asked(stage)({"do": "backfill"}) == {
            "error": "this is no batch of images; this daemon is of another version than the command"
        }
        assert (await asked(stage)(Batch(ELSEWHERE, ("img-1",)).to_request())) == {"put_in": 1, "waiting": 0}
