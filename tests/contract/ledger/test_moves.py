"""Moves: what each makes of a job, and which are refused."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from imageferry.core.answers import Answer
from imageferry.core.completion import completion
from imageferry.core.job import JobFilter
from imageferry.core.machine import END_STATES, OPEN_STATES, STATES, State, allowed
from imageferry.errors import MoveConflict, MoveForbidden
from imageferry.ports import HistoryRow, Ledger, Move
from support.ledgers import HOUR, NOW, PLACE, accepted, ask, freeze, job_in, new_job, plan

THROTTLED = Answer("throttled", "slow down", "RequestLimitExceeded", "req-9")


async def test_an_accepted_job_runs_under_its_task(ledger: Ledger) -> None:
    job = await job_in(ledger, "submitting")
    move = accepted(job, due_at=NOW + 5, give_up_at=NOW + HOUR, counted=True, object_keys=("a/b.qcow2",), memo={"n": 1})
    [running] = await ledger.move([move], NOW + 3)
    assert (running.state, running.version, running.task_ref) == ("running", job.version + 1, "task-1")
    assert (running.submitted_at, running.sent_at, running.attempts) == (NOW + 3, None, 1)
    assert (running.due_at, running.give_up_at) == (NOW + 5, NOW + HOUR)
    assert (running.object_keys, running.memo) == (("a/b.qcow2",), {"n": 1})
    assert (running.klass, running.vendor_code, running.request_id) == ("ok", "", "req-1")
    assert running.request == job.request
    assert await ledger.job(job.id) == running
    assert (await ledger.history(job.id))[-1] == HistoryRow(
        NOW + 3, "submitting", "running", "accepted", "ok", "", "req-1"
    )


@pytest.mark.parametrize("state", ["submitting", "in_doubt"])
async def test_a_job_that_is_planned_again_has_no_unresolved_send(ledger: Ledger, state: State) -> None:
    job = await job_in(ledger, state)
    move = Move(job=job, to="planned", reason="slow down", answer=THROTTLED, due_at=NOW + 9, sent_at=NOW)
    [planned] = await ledger.move([move], NOW)
    assert (planned.state, planned.sent_at, planned.due_at) == ("planned", None, NOW + 9)
    assert (planned.klass, planned.vendor_code, planned.request_id) == ("throttled", "RequestLimitExceeded", "req-9")
    assert (planned.request, planned.sends, planned.attempts) == (job.request, 1, 0)


async def test_a_doubt_keeps_the_time_of_its_first_unresolved_send(ledger: Ledger) -> None:
    job = await job_in(ledger, "submitting")
    [doubt] = await ledger.move([Move(job=job, to="in_doubt", reason="no answer", counted=True)], NOW)
    assert (doubt.sent_at, doubt.attempts) == (job.sent_at, 1)


async def test_a_doubt_may_be_given_an_earlier_send(ledger: Ledger) -> None:
    job = await job_in(ledger, "submitting")
    [doubt] = await ledger.move([Move(job=job, to="in_doubt", reason="busy", sent_at=NOW - HOUR)], NOW)
    assert doubt.sent_at == NOW - HOUR


async def test_a_move_without_an_answer_keeps_the_last_one_and_says_so_in_history(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    [failed] = await ledger.move([Move(job=job, to="failed", reason="nothing came")], NOW)
    assert (failed.klass, failed.request_id) == ("ok", "req-1")
    assert (await ledger.history(job.id))[-1] == HistoryRow(NOW, "running", "failed", "nothing came", "", "", "")


@pytest.mark.parametrize("end", sorted(END_STATES))
async def test_an_end_is_announced_in_the_same_transaction(ledger: Ledger, end: State) -> None:
    before: State = "running" if end == "succeeded" else "planned"
    job = await job_in(ledger, before)
    [ended] = await ledger.move([Move(job=job, to=end, reason="over")], NOW + 5)
    assert (ended.state, ended.ended_at, ended.sent_at) == (end, NOW + 5, None)
    [row] = await ledger.pending("log", 10)
    assert (row.event_id, row.image_id, row.body) == (f"{job.id}-1", "img-1", completion(ended))
    assert json.loads(row.body)["type"] == f"io.imageferry.job.{end}"


async def test_an_announcement_names_policies_that_joined_while_the_job_ran(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    await plan(ledger, new_job(policies=("dr",)), now=NOW + 1)
    [ended] = await ledger.move([Move(job=job, to="succeeded", reason="seen whole")], NOW + 2)
    assert ended.policies == ("archive", "dr")
    [row] = await ledger.pending("log", 10)
    assert json.loads(row.body)["data"]["policies"] == ["archive", "dr"]


async def test_a_second_life_starts_afresh_and_keeps_only_the_last_answer(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    answer = Answer("permanent_image", "refused", "ImageBroken", "req-2")
    [failed] = await ledger.move(
        [Move(job=job, to="failed", reason="refused", answer=answer, counted=True, memo={"a": 1}, object_keys=("k",))],
        NOW,
    )
    retry = Move(job=failed, to="planned", reason="retried by hand", due_at=NOW + 1, give_up_at=NOW + HOUR)
    [again] = await ledger.move([retry], NOW + 1)
    assert again == replace(
        failed,
        state="planned",
        reason="retried by hand",
        version=failed.version + 1,
        due_at=NOW + 1,
        give_up_at=NOW + HOUR,
        attempt=2,
        attempts=0,
        task_ref="",
        object_keys=(),
        memo={},
        request={},
        submitted_at=None,
        ended_at=None,
    )
    assert (again.klass, again.vendor_code, again.request_id) == ("permanent_image", "ImageBroken", "req-2")


async def test_every_life_ends_with_an_announcement_of_its_own(ledger: Ledger) -> None:
    job = await job_in(ledger, "failed")
    [again] = await ledger.move([Move(job=job, to="planned", reason="retried by hand")], NOW)
    await ledger.move([Move(job=again, to="cancelled", reason="cancelled by hand")], NOW)
    assert [row.event_id for row in await ledger.pending("log", 10)] == [f"{job.id}-1", f"{job.id}-2"]


async def test_a_copy_made_in_an_earlier_life_is_still_known_as_ours(ledger: Ledger) -> None:
    sent = await job_in(ledger, "submitting", action="copy", destination="ap-shanghai")
    [failed] = await ledger.move([Move(job=sent, to="failed", reason="refused")], NOW)
    await ledger.move([Move(job=failed, to="planned", reason="retried by hand")], NOW)
    assert await ledger.copies("prod", "ap-shanghai", [("img-77", sent.made_name)]) == {"img-77"}


async def test_a_task_that_is_asked_for_once_more_counts_its_time_anew(ledger: Ledger) -> None:
    running = await job_in(ledger, "running")
    [planned] = await ledger.move([Move(job=running, to="planned", reason="vanished")], NOW + 1)
    assert planned.submitted_at is None
    claimed = await ledger.claim(ask(), NOW + HOUR, freeze)
    assert claimed is not None
    [again] = await ledger.move([accepted(claimed, "task-2")], NOW + HOUR)
    assert (again.submitted_at, again.task_ref) == (NOW + HOUR, "task-2")


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
async def test_a_job_is_put_off_in_its_state(ledger: Ledger, state: State) -> None:
    job = await job_in(ledger, state)
    [later] = await ledger.move([Move(job=job, to=state, reason="later", due_at=NOW + 9, memo={"seen": 2})], NOW + 1)
    assert later == replace(job, reason="later", due_at=NOW + 9, memo={"seen": 2}, version=job.version + 1)
    assert await ledger.job(job.id) == later


async def test_putting_off_is_history_only_when_its_reason_is_new(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    lines = len(await ledger.history(job.id))
    [job] = await ledger.move([Move(job=job, to="running", reason="half done", answer=THROTTLED)], NOW)
    [job] = await ledger.move([Move(job=job, to="running", reason="half done", due_at=NOW + 9)], NOW)
    assert (await ledger.history(job.id))[lines:] == [
        HistoryRow(NOW, "running", "running", "half done", "throttled", "RequestLimitExceeded", "req-9")
    ]


@pytest.mark.parametrize("old", STATES)
@pytest.mark.parametrize("new", STATES)
async def test_only_moves_of_the_table_are_carried_out(ledger: Ledger, old: State, new: State) -> None:
    job = await job_in(ledger, old)
    move = replace(accepted(job), to=new) if new != "submitting" else Move(job=job, to=new, reason="x", sent_at=NOW)
    if old == "planned" and new == "submitting":
        return  # needs a frozen request: the claims' affair
    if allowed(old, new) or (old == new and old in OPEN_STATES):
        assert [moved.state for moved in await ledger.move([move], NOW)] == [new]
    else:
        with pytest.raises(MoveForbidden, match=f"is {old} and cannot become {new}"):
            await ledger.move([move], NOW)
        assert await ledger.job(job.id) == job


async def test_a_move_to_running_must_name_its_task(ledger: Ledger) -> None:
    job = await job_in(ledger, "submitting")
    with pytest.raises(MoveForbidden, match="names none"):
        await ledger.move([Move(job=job, to="running", reason="accepted")], NOW)


async def test_a_row_that_changed_since_it_was_read_is_a_conflict(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    await ledger.move([Move(job=job, to="running", reason="later")], NOW)
    with pytest.raises(MoveConflict, match="read it again"):
        await ledger.move([Move(job=job, to="succeeded", reason="late")], NOW)


async def test_a_job_that_is_not_there_is_a_conflict(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    with pytest.raises(MoveConflict, match="not in the ledger"):
        await ledger.move([Move(job=replace(job, id="nobody"), to="succeeded", reason="x")], NOW)


async def test_of_two_that_move_the_same_job_one_wins(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    moves = [Move(job=job, to=to, reason=to) for to in ("succeeded", "failed")]
    results = await asyncio.gather(*(ledger.move([move], NOW) for move in moves), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["MoveConflict", "list"]
    assert len(await ledger.pending("log", 10)) == 1


async def test_moves_are_carried_out_all_or_none(ledger: Ledger) -> None:
    good = await job_in(ledger, "running", "img-1")
    bad = await job_in(ledger, "planned", "img-2")
    moves = [Move(job=good, to="succeeded", reason="whole"), Move(job=bad, to="succeeded", reason="never ran")]
    with pytest.raises(MoveForbidden):
        await ledger.move(moves, NOW)
    assert await ledger.job(good.id) == good
    assert await ledger.outbox_size() == 0
    assert [row.to_state for row in await ledger.history(good.id)] == ["planned", "submitting", "running"]


async def test_the_same_job_twice_in_one_call_is_a_conflict(ledger: Ledger) -> None:
    job = await job_in(ledger, "running")
    with pytest.raises(MoveConflict):
        await ledger.move([Move(job=job, to="running", reason="a"), Move(job=job, to="failed", reason="b")], NOW)
    assert await ledger.job(job.id) == job


async def test_a_page_of_moves_is_one_call(ledger: Ledger) -> None:
    jobs = await plan(ledger, *(new_job(f"img-{n}") for n in range(1100)))
    moved = await ledger.move([Move(job=job, to="cancelled", reason="not wanted") for job in jobs], NOW)
    assert [job.id for job in moved] == [job.id for job in jobs]
    assert await ledger.outbox_size() == 1100


async def test_no_move_is_nothing(ledger: Ledger) -> None:
    assert await ledger.move([], NOW) == []


async def test_documents_come_back_as_they_were_given(ledger: Ledger) -> None:
    options = {"format": "qcow2", "disks": "all", "nested": {"ü": [1, None, True, 2.5]}}
    [job] = await plan(ledger, new_job(options=options))
    assert job.options == options
    [moved] = await ledger.move([Move(job=job, to="planned", reason="x", memo={"k": ["ä", {"b": 2**60}]})], NOW)
    assert moved.memo == {"k": ["ä", {"b": 2**60}]}
    assert await ledger.jobs(JobFilter(image="img-1")) == [moved]


async def test_due_jobs_of_a_state_come_longest_due_first(ledger: Ledger) -> None:
    for n, action in ((3, "export"), (1, "copy"), (2, "export")):
        job = await job_in(ledger, "running", f"img-{n}", action=action, destination="ap-shanghai")
        await ledger.move([Move(job=job, to="running", reason="later", due_at=NOW + n)], NOW)
    here = ("prod", PLACE.region)
    assert [job.image_id for job in await ledger.due_jobs(*here, "running", NOW + 3, 2)] == ["img-1", "img-2"]
    assert [job.image_id for job in await ledger.due_jobs(*here, "running", NOW + 1, 9)] == ["img-1"]
    assert await ledger.due_jobs(*here, "in_doubt", NOW + 9, 9) == []
    assert await ledger.due_jobs("prod", "ap-nowhere", "running", NOW + 9, 9) == []


async def test_the_next_due_job_is_known_by_state_and_action(ledger: Ledger) -> None:
    here = ("prod", PLACE.region)
    assert await ledger.next_due(*here, "planned") is None
    for n, action in ((5, "export"), (3, "copy")):
        [job] = await plan(ledger, new_job(f"img-{n}", "ap-shanghai", action=action))
        await ledger.move([Move(job=job, to="planned", reason="later", due_at=NOW + n)], NOW)
    assert await ledger.next_due(*here, "planned") == NOW + 3
    assert await ledger.next_due(*here, "planned", "export") == NOW + 5
    assert await ledger.next_due(*here, "running") is None
    assert await ledger.next_due("prod", "ap-nowhere", "planned") is None


async def test_an_ended_job_is_never_due(ledger: Ledger) -> None:
    await job_in(ledger, "failed")
    assert await ledger.next_due("prod", PLACE.region, "failed") is None
    assert await ledger.due_jobs("prod", PLACE.region, "failed", NOW + HOUR, 9) == []


async def test_planned_jobs_and_doubts_past_their_deadline_are_overdue(ledger: Ledger) -> None:
    for n, state in enumerate(("planned", "in_doubt", "running", "failed")):
        await job_in(ledger, state, f"img-{n}", give_up_at=NOW + 10 - n)  # type: ignore[arg-type] # the four literals
    assert await ledger.overdue(NOW + 5, 10) == []
    assert [job.image_id for job in await ledger.overdue(NOW + 10, 10)] == ["img-1", "img-0"]
    assert [job.image_id for job in await ledger.overdue(NOW + 10, 1)] == ["img-1"]
    assert [job.image_id for job in await ledger.overdue(NOW + 10, 1, 1)] == ["img-0"]
