"""Moving jobs: claims, moves and the recovery at start-up, each with its history and, for an end, its announcement.

Called by the store. Every write compares the version it read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from imageferry.core.answers import Answer
from imageferry.core.completion import completion, completion_id
from imageferry.core.image import Image
from imageferry.core.job import BACKFILL, FRESH, Job
from imageferry.errors import MoveConflict
from imageferry.ledgers.lives import check, claimed, moved, recovered
from imageferry.ledgers.looks import HISTORY, OUTBOX
from imageferry.ledgers.rows import JOB_COLUMNS, dump, read_image, read_job
from imageferry.ledgers.script import Ask, Script, one_of, sql
from imageferry.ports import Claim, Frozen, Move

IN_FLIGHT: Final = "state IN ('submitting', 'in_doubt', 'running')"
"""Word for word as the partial indexes have it: otherwise SQLite does not use them."""

_RUNNING: Final = sql("SELECT COUNT(*) FROM jobs WHERE account = ? AND action = ? AND cloud = ? AND", IN_FLIGHT)
_NEXT: Final = """
SELECT seq FROM jobs AS mine
WHERE account = ? AND region = ? AND action = ? AND priority = ? AND due_at <= ? AND cloud = ? AND state = 'planned'
AND NOT EXISTS (
    SELECT 1 FROM jobs AS other
    WHERE other.account = mine.account AND other.region = mine.region AND other.image_id = mine.image_id
    AND other.cloud = mine.cloud AND other.state IN ('submitting', 'in_doubt', 'running')
)
ORDER BY due_at, seq LIMIT 1
"""
_BY_SEQ: Final = sql("SELECT", JOB_COLUMNS, "FROM jobs WHERE seq = ?")
_FACTS: Final = "SELECT facts FROM images WHERE cloud = ? AND account = ? AND region = ? AND image_id = ?"
_UPDATE: Final = """
UPDATE jobs SET state = ?, reason = ?, version = ?, due_at = ?, give_up_at = ?, class = ?, vendor_code = ?,
    request_id = ?, attempt = ?, attempts = ?, sends = ?, task_ref = ?, object_keys = ?, request = ?, made_name = ?,
    memo = ?, sent_at = ?, submitted_at = ?, ended_at = ?
WHERE id = ? AND version = ? RETURNING id
"""
_SUBMITTING: Final = sql(
    "SELECT", JOB_COLUMNS, "FROM jobs WHERE account = ? AND region = ? AND state = 'submitting' AND ended_at IS NULL"
)


def claim(ask: Claim, now: int, freeze: Callable[[Job, Image], Frozen]) -> Script[Job | None]:
    """Take the lane's next due job, unless as many tasks as may run are in flight already."""
    if ask.running is not None and (yield from _in_flight(ask)) >= ask.running:
        return None
    job = yield from _next(ask, now)
    if job is None:
        return None
    frozen = None if job.request else freeze(job, (yield from _image(job)))
    new = claimed(job, ask.sent_at, frozen)
    yield from _write(job, new, None, now)
    return new


def _in_flight(ask: Claim) -> Script[int]:
    lane = (ask.account, ask.action, ask.cloud)
    if ask.scope == "account":
        rows = yield Ask(_RUNNING, lane)
    else:
        rows = yield Ask(sql(_RUNNING, "AND region = ?"), (*lane, ask.region))
    [[count]] = rows
    return int(count)


def _next(ask: Claim, now: int) -> Script[Job | None]:
    """The first due job whose image no other job in flight holds, fresh ones before back-fill."""
    for priority in (FRESH, BACKFILL):
        found = yield Ask(_NEXT, (ask.account, ask.region, ask.action, priority, now, ask.cloud))
        if found:
            [row] = yield Ask(_BY_SEQ, found[0])
            return read_job(row)
    return None


def _image(job: Job) -> Script[Image]:
    [[facts]] = yield Ask(_FACTS, (*job.place, job.image_id))
    return read_image(facts) or Image(place=job.place, id=job.image_id)


def move(moves: Sequence[Move], now: int) -> Script[list[Job]]:
    """Carry out moves; what one of them raises undoes them all."""
    rows = yield from _jobs([asked.job.id for asked in moves])
    result: list[Job] = []
    for asked in moves:
        old = check(rows.get(asked.job.id), asked)
        new = moved(old, asked, now)
        yield from _write(old, new, asked.answer, now)
        rows[new.id] = new
        result.append(new)
    return result


def _jobs(ids: Sequence[str]) -> Script[dict[str, Job]]:
    found: dict[str, Job] = {}
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        rows = yield Ask(sql("SELECT", JOB_COLUMNS, "FROM jobs WHERE id IN", one_of(some)), some)
        found |= {row[0]: read_job(row) for row in rows}
    return found


def recover(account: str, region: str, now: int, due_at: int) -> Script[int]:
    """Every job that was being sent when the last process ended becomes a doubt."""
    rows = yield Ask(_SUBMITTING, (account, region))
    for row in rows:
        job = read_job(row)
        yield from _write(job, recovered(job, due_at), None, now)
    return len(rows)


def _write(old: Job, new: Job, answer: Answer | None, now: int) -> Script[None]:
    """One move with its history row, and for an end its announcement. ``answer`` is what led to it, if anything."""
    if not (yield Ask(_UPDATE, (*_changes(new), old.id, old.version))):
        raise MoveConflict(f"job {old.id} was changed while it was moved; read it again")
    if new.state != old.state or new.reason != old.reason:
        said = ("", "", "") if answer is None else (answer.klass, answer.vendor_code, answer.request_id)
        yield Ask(HISTORY, (old.id, now, old.state, new.state, new.reason, *said))
    if new.ended_at is not None:
        yield Ask(OUTBOX, (completion_id(new), new.id, new.image_id, completion(new), now))


def _changes(job: Job) -> tuple[str | int | None, ...]:
    return (
        job.state,
        job.reason,
        job.version,
        job.due_at,
        job.give_up_at,
        job.klass,
        job.vendor_code,
        job.request_id,
        job.attempt,
        job.attempts,
        job.sends,
        job.task_ref,
        dump(job.object_keys),
        dump(dict(job.request)),
        job.made_name,
        dump(dict(job.memo)),
        job.sent_at,
        job.submitted_at,
        job.ended_at,
    )
