"""Looks: due, put off, and closed with what was decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imageferry.core.completion import completion
from imageferry.core.decision import Verdict
from imageferry.core.job import job_id, job_key
from imageferry.ports import HistoryRow, Ledger, LookDone, LookLater, NewlyDone
from support.ledgers import (
    ELSEWHERE,
    FAR,
    HOUR,
    NOW,
    PLACE,
    Database,
    decided,
    decision,
    image,
    job_in,
    look,
    new_job,
    plan,
    sighting,
)

HERE = (PLACE.account, PLACE.region)


async def ids(ledger: Ledger, now: int, limit: int = 100) -> list[str]:
    return [row.image_id for row in await ledger.due_looks(*HERE, now, limit)]


async def test_the_longest_due_come_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for n in (3, 1, 2):
        await ledger.record([sighting(f"img-{n}")], NOW + n)
    assert await ids(ledger, NOW + 9, limit=2) == ["img-1", "img-2"]


async def test_only_looks_of_that_region_are_given(ledger: Ledger) -> None:
    await ledger.record([sighting("here"), sighting("there", place=ELSEWHERE)], NOW)
    assert await ids(ledger, NOW) == ["here"]


async def test_a_look_that_is_put_off_is_due_later_and_counts_an_attempt(ledger: Ledger) -> None:
    due = await look(ledger, "img-1")
    await ledger.put_off_looks([LookLater(due, NOW + HOUR, "not ready yet")], NOW)
    assert await ids(ledger, NOW + HOUR - 1) == []
    [again] = await ledger.due_looks(*HERE, NOW + HOUR, 10)
    assert (again.attempts, again.first_seen_at) == (1, NOW)
    [row] = await ledger.image("img-1")
    assert (row.outcome, row.reason, row.due_at, row.looked_at) == ("due", "not ready yet", NOW + HOUR, NOW)


async def test_a_look_may_be_put_off_without_counting(ledger: Ledger) -> None:
    due = await look(ledger, "img-1")
    await ledger.put_off_looks([LookLater(due, NOW + 1, "account closed off", counted=False)], NOW)
    assert (await ledger.due_looks(*HERE, NOW + 1, 10))[0].attempts == 0


async def test_a_sighting_during_the_look_is_not_put_off(ledger: Ledger) -> None:
    due = await look(ledger, "img-1")
    await ledger.record([sighting("img-1", "second")], NOW + 1)
    await ledger.put_off_looks([LookLater(due, NOW + HOUR, "not ready")], NOW + 2)
    assert await ids(ledger, NOW + 2) == ["img-1"]


async def test_the_next_look_is_the_earliest_one(ledger: Ledger) -> None:
    assert await ledger.next_due(*HERE, "look") is None
    await ledger.put_off_looks([LookLater(await look(ledger, "img-1"), NOW + 5, "later")], NOW)
    await ledger.put_off_looks([LookLater(await look(ledger, "img-2"), NOW + 3, "later")], NOW)
    assert await ledger.next_due(*HERE, "look") == NOW + 3


async def test_a_decision_is_kept_with_the_facts_it_rests_on(ledger: Ledger) -> None:
    due = await look(ledger, "img-1")
    seen = image(os="linux", tags={"env": "prod"}, extra={"disks": ["snap-1"]})
    verdicts = (Verdict("archive", "match", "os is linux"), Verdict("dr", "no_match", "cloud is tencent"))
    await ledger.close_looks([LookDone(due, "decided", "1 action", decision(seen, *verdicts))], NOW + 1)
    [row] = await ledger.image("img-1")
    assert (row.outcome, row.reason, row.due_at, row.looked_at) == ("decided", "1 action", None, NOW + 1)
    assert row.image == seen
    assert row.decision == {
        "digest": "digest-1",
        "verdicts": [
            {"policy": "archive", "verdict": "match", "reason": "os is linux"},
            {"policy": "dr", "verdict": "no_match", "reason": "cloud is tencent"},
        ],
    }


@pytest.mark.parametrize("outcome", ["gone", "failed", "expired"])
async def test_a_look_may_close_without_a_decision(ledger: Ledger, outcome: str) -> None:
    due = await look(ledger, "img-1")
    await ledger.close_looks([LookDone(due, outcome, "why")], NOW)  # type: ignore[arg-type] # the three literals
    [row] = await ledger.image("img-1")
    assert (row.outcome, row.reason, row.due_at, row.decision) == (outcome, "why", None, None)


async def test_an_undecided_image_can_be_asked_for(database: Database, ledger: Ledger) -> None:
    unsure = Verdict("archive", "unknown", "encrypted is not known")
    due = await look(ledger, "img-1")
    await ledger.close_looks([LookDone(due, "decided", "not decided", decision(image(), unsure))], NOW)
    await ledger.close_looks([decided(await look(ledger, "img-2"))], NOW)
    await ledger.aclose()
    assert database.raw("SELECT image_id FROM images WHERE undecided = 1") == [("img-1",)]


async def test_an_image_that_is_gone_is_no_longer_undecided(database: Database, ledger: Ledger) -> None:
    unsure = Verdict("archive", "unknown", "encrypted is not known")
    due = await look(ledger, "img-1")
    await ledger.close_looks([LookDone(due, "decided", "not decided", decision(image(), unsure))], NOW)
    await ledger.close_looks([LookDone(await look(ledger, "img-1", event="second"), "gone", "deleted")], NOW)
    await ledger.aclose()
    assert database.raw("SELECT undecided FROM images") == [(0,)]


async def test_a_decision_makes_jobs_that_are_due_at_once(ledger: Ledger) -> None:
    await ledger.record([sighting("img-1")], NOW - HOUR)
    [due] = await ledger.due_looks(*HERE, NOW, 1)
    done = await ledger.close_looks([decided(due, new_job(), new_job(destination="other"))], NOW)
    assert done == NewlyDone(planned=2, failed=())
    job = await ledger.job(new_job().key)
    assert job is not None
    key = job_key(PLACE, "img-1", "export", "bucket")
    assert (job.key, job.id, job.state, job.version) == (key, job_id(key), "planned", 1)
    assert (job.created_at, job.due_at, job.give_up_at, job.sighted_at) == (NOW, NOW, FAR, NOW - HOUR)
    assert (job.policies, job.options, job.reason) == (("archive",), {"format": "qcow2"}, "policy archive: matches")
    assert await ledger.history(job.id) == [HistoryRow(NOW, "", "planned", job.reason, "", "", "")]


async def test_a_job_keeps_the_priority_it_was_asked_with(ledger: Ledger) -> None:
    [job] = await plan(ledger, new_job(priority=1))
    assert job.priority == 1


async def test_what_can_never_be_done_is_born_failed_and_announced(ledger: Ledger) -> None:
    refused = new_job(refusal_class="permanent_image", reason="windows images cannot be exported")
    done = await ledger.close_looks([decided(await look(ledger, "img-1"), refused)], NOW)
    [job] = done.failed
    assert done.planned == 0
    assert (job.state, job.klass, job.reason, job.ended_at) == ("failed", "permanent_image", refused.reason, NOW)
    assert await ledger.history(job.id) == [HistoryRow(NOW, "", "failed", refused.reason, "permanent_image", "", "")]
    [row] = await ledger.pending("log", 10)
    assert (row.event_id, row.image_id, row.body) == (f"{job.id}-1", "img-1", completion(job))
    assert await ledger.job(job.id) == job


async def test_a_known_key_only_gains_policies_in_their_order(ledger: Ledger) -> None:
    [before] = await plan(ledger, new_job(policies=("b",)))
    due = await look(ledger, "img-1", event="second")
    wanted = new_job(policies=("c", "b", "a"), options={"format": "vhd"}, reason="other")
    assert await ledger.close_looks([decided(due, wanted)], NOW + 1) == NewlyDone(0, ())
    assert await ledger.job(before.id) == replace(before, policies=("b", "c", "a"))
    assert len(await ledger.history(before.id)) == 1


@pytest.mark.parametrize("state", ["failed", "cancelled", "succeeded", "running"])
async def test_a_known_job_stays_in_its_state_when_it_is_wanted_again(ledger: Ledger, state: str) -> None:
    before = await job_in(ledger, state)  # type: ignore[arg-type] # the four literals
    due = await look(ledger, "img-1", event="second")
    done = await ledger.close_looks([decided(due, new_job(refusal_class="permanent_image"))], NOW + 1)
    assert done == NewlyDone(0, ())
    assert await ledger.job(before.id) == before


async def test_two_decisions_in_one_call_that_want_the_same_job_make_one(ledger: Ledger) -> None:
    due = await look(ledger, "img-1")
    done = await ledger.close_looks([decided(due, new_job(policies=("a",)), new_job(policies=("b",)))], NOW)
    assert done.planned == 1
    job = await ledger.job(new_job().key)
    assert job is not None
    assert job.policies == ("a", "b")


async def test_a_sighting_during_the_look_leaves_the_image_due_again(ledger: Ledger) -> None:
    due = await look(ledger, "img-1")
    await ledger.record([sighting("img-1", "second")], NOW + 1)
    await ledger.close_looks([decided(due, new_job())], NOW + 2)
    assert await ids(ledger, NOW + 2) == ["img-1"]
    [row] = await ledger.image("img-1")
    assert (row.outcome, row.image is not None, row.looked_at) == ("due", True, NOW + 2)
    assert await ledger.job(new_job().key) is not None


async def test_a_stale_look_does_not_reopen_or_close_anything(ledger: Ledger) -> None:
    due = await look(ledger, "img-1")
    await ledger.close_looks([LookDone(due, "gone", "no such image")], NOW)
    await ledger.put_off_looks([LookLater(due, NOW + 1, "late")], NOW)
    await ledger.close_looks([LookDone(due, "expired", "late")], NOW)
    [row] = await ledger.image("img-1")
    assert (row.outcome, row.reason, row.due_at) == ("gone", "no such image", None)


async def test_copies_are_known_by_the_image_that_was_made_and_by_the_name_it_was_to_get(ledger: Ledger) -> None:
    running = await job_in(ledger, "running", "img-1", action="copy", destination="ap-shanghai")
    sent = await job_in(ledger, "submitting", "img-2", action="copy", destination="ap-shanghai")
    seen = [("task-1", "any name"), ("img-8", sent.made_name), ("img-9", "stranger"), ("img-7", None)]
    assert running.task_ref == "task-1"
    assert await ledger.copies("prod", "ap-shanghai", seen) == {"task-1", "img-8"}


async def test_copies_of_other_regions_accounts_and_exports_are_no_copies(ledger: Ledger) -> None:
    await job_in(ledger, "running", "img-1", action="copy", destination="ap-shanghai")
    await job_in(ledger, "planned", "img-2", action="copy", destination="ap-shanghai")
    await job_in(ledger, "running", "img-3", destination="ap-beijing")
    seen = [("task-1", None), ("", "")]
    assert await ledger.copies("prod", "ap-beijing", seen) == set()
    assert await ledger.copies("other", "ap-shanghai", seen) == set()
    assert await ledger.copies("prod", "ap-shanghai", [("img-5", "")]) == set()


async def test_a_whole_page_of_images_is_asked_for_copies_at_once(ledger: Ledger) -> None:
    await job_in(ledger, "running", "img-1", action="copy", destination="ap-shanghai")
    seen = [(f"img-{n}", f"name-{n}") for n in range(1200)] + [("task-1", None)]
    assert await ledger.copies("prod", "ap-shanghai", seen) == {"task-1"}
