"""What a move makes of a job: pure, from the row as it is and the move that is asked for.

Used by the scripts that move jobs; the database's CHECKs and triggers refuse the same things once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imageferry.core.job import Job
from imageferry.core.machine import END_STATES, allowed
from imageferry.errors import MoveConflict, MoveForbidden
from imageferry.ports import Frozen, Move


def check(current: Job | None, move: Move) -> Job:
    """The row a move is about.

    :raises MoveConflict: it is not there, or was changed since it was read.
    :raises MoveForbidden: the table does not have the move, or nothing says which task it runs as.
    """
    job = move.job
    if current is None:
        raise MoveConflict(f"job {job.id} is not in the ledger")
    if current.version != job.version or current.state != job.state:
        raise MoveConflict(
            f"job {job.id} is {current.state} (version {current.version}) and was read as {job.state} "
            f"(version {job.version}); read it again"
        )
    put_off = move.to == current.state and current.state not in END_STATES
    if not put_off and not allowed(current.state, move.to):
        raise MoveForbidden(f"job {job.id} is {current.state} and cannot become {move.to}")
    if move.to == "running" and not put_off and not move.task_ref:
        raise MoveForbidden(f"job {job.id} cannot run without a task: the move names none")
    return current


def moved(job: Job, move: Move, now: int) -> Job:
    """The job after the move."""
    changes: dict[str, Any] = {"state": move.to, "reason": move.reason, "version": job.version + 1}
    given = {
        "due_at": move.due_at,
        "give_up_at": move.give_up_at,
        "task_ref": move.task_ref,
        "object_keys": move.object_keys,
        "memo": move.memo,
        "sent_at": move.sent_at,
    }
    if move.answer is not None:
        given |= {
            "klass": move.answer.klass,
            "vendor_code": move.answer.vendor_code,
            "request_id": move.answer.request_id,
        }
    if job.state in END_STATES:
        changes |= _fresh_life(job)
    changes |= {name: value for name, value in given.items() if value is not None}
    changes |= _by_state(job, move, now)
    if move.counted:
        changes["attempts"] = changes.get("attempts", job.attempts) + 1
    return replace(job, **changes)


def _fresh_life(job: Job) -> Mapping[str, Any]:
    """A person asked for another attempt: nothing of the last life but its answer stays.

    ``made_name`` stays as well: what the last life may have made must still be known as ours.
    """
    return {"attempt": job.attempt + 1, "attempts": 0, "task_ref": "", "object_keys": (), "memo": {}, "request": {}}


def _by_state(job: Job, move: Move, now: int) -> Mapping[str, Any]:
    """What the new state itself says about times."""
    if move.to in END_STATES:
        return {"ended_at": now, "sent_at": None}
    if move.to == "planned":
        return {"ended_at": None, "sent_at": None, "submitted_at": None}
    if move.to == "running":
        return {"submitted_at": now if job.submitted_at is None else job.submitted_at, "sent_at": None}
    return {}


def claimed(job: Job, sent_at: int, frozen: Frozen | None) -> Job:
    """The job as it is about to be sent; ``frozen`` is None where the request was written down before."""
    if frozen is not None:
        job = replace(job, request=dict(frozen.request), made_name=frozen.made_name or job.made_name)
    return replace(
        job,
        state="submitting",
        reason="claimed",
        version=job.version + 1,
        sends=job.sends + 1,
        sent_at=sent_at if job.sent_at is None else job.sent_at,
    )


def recovered(job: Job, due_at: int) -> Job:
    """The job as a start finds it whose request was under way when the last process ended."""
    return replace(
        job,
        state="in_doubt",
        reason="found as submitting at start-up: whether the request was carried out is not known",
        version=job.version + 1,
        due_at=due_at,
    )
