"""What commands ask over the socket: every request has an answer, and what it changes is heard at once."""

from __future__ import annotations

from pathlib import Path

from imageferry.core.policy import PolicySet
from imageferry.flow.asked import Asked
from imageferry.flow.backfill import Batch
from imageferry.flow.drive import Bell
from imageferry.flow.intake import Directory, Recorder
from imageferry.flow.replay import Replay
from imageferry.ports import Unreadable
from support.ledgers import ELSEWHERE, PLACE, job_in
from support.stages import Stage, staged


def asked(stage: Stage) -> Asked:
    account = stage.site.account
    recorder = Recorder(
        directory=Directory([account]),
        policies=lambda: PolicySet([]),
        ledger=stage.ledger,
        clock=stage.clock,
        metrics=stage.metrics,
        ring=lambda _: None,
    )
    return Asked(
        ledger=stage.ledger,
        clock=stage.clock,
        accounts={"prod": account},
        sites=[stage.site],
        policies=lambda: ["archive"],
        announce=stage.site.announce,
        replay=Replay(recorder, lambda letter: [Unreadable(letter.source, "still not JSON", letter.body)]),
    )


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
            "error": "this daemon cannot 'dance'; expected one of retry, cancel, backfill, replay"
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


async def test_a_letter_that_still_cannot_be_read_is_told_with_todays_reason(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.ledger.record([Unreadable("file:1", "not JSON", b"{")], stage.clock.now())
        [letter] = await stage.ledger.dead_letters()
        answer = await asked(stage)({"do": "replay", "letters": [letter.id]})
        assert answer == {"letters": [{"id": letter.id, "read": False, "text": "still not JSON"}]}


async def test_letters_that_are_none_are_refused(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert "names no dead letters" in (await asked(stage)({"do": "replay", "letters": ["x"]}))["error"]
