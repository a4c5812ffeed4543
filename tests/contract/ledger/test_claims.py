"""Claims: the next due job, within the running limit, one job in flight per image."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from imageferry.core.image import Image
from imageferry.core.job import Job, JobFilter
from imageferry.core.machine import IN_FLIGHT
from imageferry.errors import LedgerError
from imageferry.ports import Frozen, HistoryRow, Ledger, Move
from support.ledgers import ELSEWHERE, HOUR, NOW, PLACE, accepted, ask, freeze, image, job_in, new_job, plan


async def test_a_claim_writes_the_intent_with_the_whole_request(ledger: Ledger) -> None:
    [job] = await plan(ledger, new_job())
    claimed = await ledger.claim(ask(sent_at=NOW + 7), NOW + 1, freeze)
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.reason, claimed.version) == (job.id, "submitting", "claimed", 2)
    assert (claimed.sent_at, claimed.sends, claimed.attempts) == (NOW + 7, 1, 0)
    assert claimed.request == {"image": "img-1", "os": "linux", "prefix": job.key[:12]}
    assert claimed.made_name == f"copy-{job.key[:12]}"
    assert await ledger.job(job.id) == claimed
    assert (await ledger.history(job.id))[1:] == [HistoryRow(NOW + 1, "planned", "submitting", "claimed", "", "", "")]


async def test_the_request_is_frozen_from_the_facts_of_the_last_look(ledger: Ledger) -> None:
    seen: list[tuple[str, Image]] = []

    def remember(job: Job, read: Image) -> Frozen:
        seen.append((job.id, read))
        return Frozen({"a": 1})

    [job] = await plan(ledger, new_job())
    await ledger.claim(ask(), NOW, remember)
    assert seen == [(job.id, image(os="linux"))]


async def test_a_request_that_is_frozen_is_never_made_again(ledger: Ledger) -> None:
    job = await job_in(ledger, "submitting")
    [planned] = await ledger.move([Move(job=job, to="planned", reason="throttled")], NOW)

    def never(job: Job, read: Image) -> Frozen:
        raise AssertionError(job, read)

    again = await ledger.claim(ask(sent_at=NOW + 99), NOW, never)
    assert again is not None
    assert (again.request, again.made_name, again.sends) == (planned.request, planned.made_name, 2)
    assert again.sent_at == NOW + 99


async def test_nothing_is_claimed_before_it_is_due(ledger: Ledger) -> None:
    await plan(ledger, new_job())
    assert await ledger.claim(ask(), NOW - 1, freeze) is None


async def test_fresh_jobs_come_before_back_fill_then_the_longest_due_then_the_oldest(ledger: Ledger) -> None:
    await plan(ledger, new_job("backfill", priority=1), now=NOW)
    await plan(ledger, new_job("late"), now=NOW + 2)
    await plan(ledger, new_job("early-1"), new_job("early-2"), now=NOW + 1)
    claims = [await ledger.claim(ask(), NOW + HOUR, freeze) for _ in range(5)]
    assert [job and job.image_id for job in claims] == ["early-1", "early-2", "late", "backfill", None]


async def test_a_claim_takes_jobs_of_its_own_lane_only(ledger: Ledger) -> None:
    await plan(ledger, new_job("there", place=ELSEWHERE), new_job("copied", action="copy", destination="ap-shanghai"))
    assert await ledger.claim(ask("export", PLACE), NOW, freeze) is None
    claimed = await ledger.claim(ask("copy", PLACE), NOW, freeze)
    assert claimed is not None
    assert claimed.image_id == "copied"


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
async def test_an_image_with_a_job_in_flight_is_passed_over(ledger: Ledger, state: str) -> None:
    await job_in(ledger, state, "busy", destination="one")  # type: ignore[arg-type] # the states in flight
    await plan(ledger, new_job("busy", "two", action="copy"), new_job("free", "two", action="copy"))
    first = await ledger.claim(ask("copy"), NOW, freeze)
    assert first is not None
    assert first.image_id == "free"
    assert await ledger.claim(ask("copy"), NOW, freeze) is None


async def test_an_image_is_free_again_when_its_job_ends(ledger: Ledger) -> None:
    running = await job_in(ledger, "running", "img-1", destination="one")
    await plan(ledger, new_job("img-1", "two"))
    await ledger.move([Move(job=running, to="succeeded", reason="seen whole")], NOW)
    assert await ledger.claim(ask(), NOW, freeze) is not None


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
async def test_every_state_in_flight_holds_a_slot(ledger: Ledger, state: str) -> None:
    await job_in(ledger, state, "img-1")  # type: ignore[arg-type] # the states in flight
    await plan(ledger, new_job("img-2"))
    assert await ledger.claim(ask(running=1), NOW, freeze) is None
    assert await ledger.claim(ask(running=2), NOW, freeze) is not None


async def test_ended_and_planned_jobs_hold_no_slot(ledger: Ledger) -> None:
    for n, state in enumerate(("succeeded", "failed", "cancelled", "planned")):
        await job_in(ledger, state, f"img-{n}")  # type: ignore[arg-type] # the four literals
    assert await ledger.claim(ask(running=1), NOW, freeze) is not None


async def test_slots_of_a_region_do_not_count_other_regions_and_those_of_an_account_do(ledger: Ledger) -> None:
    await job_in(ledger, "running", "there", place=ELSEWHERE)
    await plan(ledger, new_job("here"))
    assert await ledger.claim(ask(running=1, scope="account"), NOW, freeze) is None
    assert await ledger.claim(ask(running=1, scope="region"), NOW, freeze) is not None


async def test_slots_of_exports_do_not_count_copies(ledger: Ledger) -> None:
    await job_in(ledger, "running", "img-1", action="copy", destination="ap-shanghai")
    await plan(ledger, new_job("img-2"))
    assert await ledger.claim(ask(running=1), NOW, freeze) is not None


async def test_no_slot_at_all_lets_nothing_through(ledger: Ledger) -> None:
    await plan(ledger, new_job())
    assert await ledger.claim(ask(running=0), NOW, freeze) is None


async def test_many_claims_at_once_never_exceed_the_limit_nor_take_an_image_twice(ledger: Ledger) -> None:
    jobs = [new_job(f"img-{n}", f"bucket-{m}") for n in range(12) for m in range(3)]
    await plan(ledger, *jobs)
    claims = await asyncio.gather(*(ledger.claim(ask(running=7), NOW, freeze) for _ in range(60)))
    taken = [job for job in claims if job is not None]
    assert len(taken) == 7
    assert max(Counter(job.image_id for job in taken).values()) == 1
    assert await ledger.in_flight("prod", PLACE.region, "export") == {"submitting": 7}


async def test_without_a_known_limit_every_free_image_is_claimed_once(ledger: Ledger) -> None:
    await plan(ledger, *(new_job(f"img-{n}", f"bucket-{m}") for n in range(12) for m in range(3)))
    claims = await asyncio.gather(*(ledger.claim(ask(), NOW, freeze) for _ in range(60)))
    assert sorted(job.image_id for job in claims if job is not None) == sorted(f"img-{n}" for n in range(12))


async def test_a_freeze_that_fails_leaves_the_job_planned(ledger: Ledger) -> None:
    [job] = await plan(ledger, new_job())

    def fail(job: Job, read: Image) -> Frozen:
        raise ValueError(job.id, read.id)

    with pytest.raises(ValueError, match=job.id):
        await ledger.claim(ask(), NOW, fail)
    assert await ledger.job(job.id) == job


async def test_an_empty_request_is_refused(ledger: Ledger) -> None:
    [job] = await plan(ledger, new_job())
    with pytest.raises(LedgerError, match="refuses"):
        await ledger.claim(ask(), NOW, lambda _job, _image: Frozen({}))
    assert await ledger.job(job.id) == job


async def test_jobs_in_flight_are_counted_by_state(ledger: Ledger) -> None:
    await job_in(ledger, "running", "img-1")
    await job_in(ledger, "running", "img-2", place=ELSEWHERE)
    await job_in(ledger, "in_doubt", "img-3")
    await job_in(ledger, "planned", "img-4")
    assert await ledger.in_flight("prod", PLACE.region, "export") == {"running": 1, "in_doubt": 1}
    assert await ledger.in_flight("prod", None, "export") == {"running": 2, "in_doubt": 1}
    assert await ledger.in_flight("prod", None, "copy") == {}


async def test_tasks_of_other_jobs_of_the_same_image_and_action_are_taken(ledger: Ledger) -> None:
    first = await job_in(ledger, "succeeded", "img-1", destination="one")
    [job] = await plan(ledger, new_job("img-1", "two"))
    claimed = await ledger.claim(ask(), NOW, freeze)
    assert claimed is not None
    await ledger.move([accepted(claimed, "task-2")], NOW)
    assert first.task_ref == "task-1"
    assert await ledger.taken(job) == {"task-1"}
    assert await ledger.taken(first) == {"task-2"}
    [copy] = await plan(ledger, new_job("img-1", "ap-shanghai", action="copy"))
    assert await ledger.taken(copy) == set()


async def test_a_claimed_job_is_listed_as_submitting(ledger: Ledger) -> None:
    claimed = await job_in(ledger, "submitting")
    assert await ledger.jobs(JobFilter(state="submitting")) == [claimed]
