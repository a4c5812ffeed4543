"""Back-fill: old images behind fresh ones, for all policies or for some, and never twice."""

from __future__ import annotations

import pytest

from imageferry.core.decision import Decision, Verdict
from imageferry.core.job import BACKFILL, FRESH
from imageferry.ledgers.looks import MOST_PLANNED
from imageferry.ports import DueLook, Ledger, LookDone, LookLater, PutIn
from support.ledgers import (
    ELSEWHERE,
    FAR,
    HOUR,
    NOW,
    PLACE,
    ask,
    decided,
    freeze,
    image,
    job_in,
    look,
    new_job,
    plan,
    sighting,
)


async def due(ledger: Ledger, now: int = FAR) -> dict[str, DueLook]:
    return {one.image_id: one for one in await ledger.due_looks(PLACE.account, PLACE.region, now, 1000)}


async def test_images_are_put_in_behind_every_fresh_one(ledger: Ledger) -> None:
    assert await ledger.put_in(PLACE, ["img-old-1", "img-old-2"], (), NOW) == PutIn(put_in=2, waiting=0)
    await ledger.record([sighting("img-fresh")], NOW + HOUR)
    looks = list((await due(ledger)).values())
    assert [(one.image_id, one.priority) for one in looks] == [
        ("img-fresh", FRESH),
        ("img-old-1", BACKFILL),
        ("img-old-2", BACKFILL),
    ]
    assert (looks[1].first_seen_at, looks[1].only) == (NOW, ())


async def test_putting_in_twice_changes_nothing(ledger: Ledger) -> None:
    await ledger.put_in(PLACE, ["img-1"], ("archive",), NOW)
    before = await due(ledger)
    assert await ledger.put_in(PLACE, ["img-1", "img-1"], ("archive",), NOW + HOUR) == PutIn(put_in=0, waiting=2)
    assert await due(ledger) == before


async def test_the_same_id_elsewhere_is_another_image(ledger: Ledger) -> None:
    await ledger.put_in(ELSEWHERE, ["img-1"], (), NOW)
    assert await ledger.put_in(PLACE, ["img-1"], (), NOW) == PutIn(put_in=1, waiting=0)


async def test_nothing_put_in_is_nothing(ledger: Ledger) -> None:
    assert await ledger.put_in(PLACE, [], (), NOW) == PutIn(put_in=0, waiting=0)


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        (("b",), ("a",), ("a", "b")),
        (("a", "b"), ("a",), ("a", "b")),
        (("a",), (), ()),
        ((), ("a",), ()),
    ],
)
async def test_what_waits_is_only_ever_widened(
    ledger: Ledger, first: tuple[str, ...], second: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    await ledger.put_in(PLACE, ["img-1"], first, NOW)
    assert await ledger.put_in(PLACE, ["img-1"], second, NOW) == PutIn(put_in=0, waiting=1)
    assert (await due(ledger))["img-1"].only == asked


async def test_a_back_fill_that_is_widened_during_its_look_is_looked_at_again(ledger: Ledger) -> None:
    await ledger.put_in(PLACE, ["img-1"], ("a",), NOW)
    looked = (await due(ledger))["img-1"]
    await ledger.put_in(PLACE, ["img-1"], ("b",), NOW)
    await ledger.close_looks([decided(looked)], NOW)
    assert (await due(ledger))["img-1"].only == ("a", "b")


async def test_what_an_event_made_due_stays_fresh_and_for_every_policy(ledger: Ledger) -> None:
    await look(ledger, "img-1")
    before = await due(ledger)
    assert await ledger.put_in(PLACE, ["img-1"], ("a",), NOW) == PutIn(put_in=0, waiting=1)
    assert await due(ledger) == before


async def test_an_event_brings_an_old_image_forward_and_asks_every_policy(ledger: Ledger) -> None:
    await ledger.put_in(PLACE, ["img-1"], ("a",), NOW)
    await ledger.record([sighting("img-1")], NOW + 1)
    assert [(one.priority, one.only) for one in (await due(ledger)).values()] == [(FRESH, ())]


async def test_an_image_that_was_decided_before_is_put_in_again_from_the_start(ledger: Ledger) -> None:
    one = await look(ledger, "img-1")
    await ledger.put_off_looks([LookLater(one, NOW, "not ready")], NOW)
    await ledger.close_looks([decided((await due(ledger))["img-1"])], NOW)
    await ledger.put_in(PLACE, ["img-1"], ("a",), NOW + HOUR)
    again = (await due(ledger))["img-1"]
    assert (again.attempts, again.first_seen_at, again.priority, again.only) == (0, NOW + HOUR, BACKFILL, ("a",))
    await ledger.close_looks([decided(again)], NOW + HOUR)
    await ledger.put_in(PLACE, ["img-1"], (), NOW + HOUR)
    assert (await due(ledger))["img-1"].only == ()


async def test_its_reason_says_for_whom_it_was_put_in(ledger: Ledger) -> None:
    await ledger.put_in(PLACE, ["img-1"], ("b", "a"), NOW)
    await ledger.put_in(PLACE, ["img-2"], (), NOW)
    assert [(await ledger.image(each))[0].reason for each in ("img-1", "img-2")] == [
        "put in by backfill for a, b",
        "put in by backfill",
    ]


async def test_it_is_held_back_while_its_jobs_wait_and_fresh_looks_are_not(ledger: Ledger) -> None:
    await ledger.put_in(PLACE, ["img-later"], (), NOW)
    jobs = await plan(ledger, *(new_job(f"img-{n}", priority=BACKFILL) for n in range(MOST_PLANNED)))
    await ledger.record([sighting("img-fresh")], NOW)
    assert list(await due(ledger)) == ["img-fresh"]
    assert await ledger.next_due(PLACE.account, PLACE.region, "look") == NOW
    assert await ledger.has_work(PLACE.account, PLACE.region)
    claimed = await ledger.claim(ask(), NOW, freeze)
    assert claimed is not None
    assert claimed.id in {job.id for job in jobs}
    assert list(await due(ledger)) == ["img-fresh", "img-later"]


async def test_fresh_jobs_that_wait_hold_nothing_back(ledger: Ledger) -> None:
    await plan(ledger, *(new_job(f"img-{n}") for n in range(MOST_PLANNED)))
    await ledger.put_in(PLACE, ["img-later"], (), NOW)
    assert list(await due(ledger)) == ["img-later"]


async def test_no_more_is_looked_at_than_there_is_room_for(ledger: Ledger) -> None:
    await ledger.put_in(PLACE, [f"img-{n}" for n in range(50)], (), NOW)
    await plan(ledger, new_job("img-x", priority=BACKFILL))
    assert len(await due(ledger)) == MOST_PLANNED - 1


async def test_a_fresh_wish_brings_a_job_of_a_back_fill_forward(ledger: Ledger) -> None:
    old = await job_in(ledger, "planned", priority=BACKFILL)
    await job_in(ledger, "planned", "img-2", priority=BACKFILL, destination="other")
    await plan(ledger, new_job(policies=("dr",)), now=NOW + 1)
    job = await ledger.job(old.id)
    assert job is not None
    assert (job.priority, job.policies, job.version) == (FRESH, ("archive", "dr"), old.version)
    await plan(ledger, new_job(priority=BACKFILL), now=NOW + 2)
    job = await ledger.job(old.id)
    assert job is not None
    assert job.priority == FRESH


async def test_what_the_policies_that_were_not_asked_said_last_stays(ledger: Ledger) -> None:
    seen = image()
    first = (Verdict("archive", "unknown", "os is not known"), Verdict("dr", "no_match", "os is windows"))
    one = await look(ledger, "img-1")
    await ledger.close_looks([LookDone(one, "decided", "", Decision(seen, first, (), "digest-1"))], NOW)
    await ledger.put_in(PLACE, ["img-1"], ("dr",), NOW)
    second = Decision(seen, (Verdict("dr", "match", "os is linux"),), (), "digest-2", ("dr",))
    await ledger.close_looks([LookDone((await due(ledger))["img-1"], "decided", "", second)], NOW)
    [row] = await ledger.image("img-1")
    assert row.decision == {
        "digest": "digest-2",
        "verdicts": [
            {"policy": "archive", "verdict": "unknown", "reason": "os is not known"},
            {"policy": "dr", "verdict": "match", "reason": "os is linux"},
        ],
    }
