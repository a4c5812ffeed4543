"""Looks: which images are due, later, or done with, and the jobs that a decision asks for.

Called by the store. A sighting that comes while a look is under way raises the image's version, and so stays due.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from imageferry.core.completion import completion, completion_id
from imageferry.core.decision import Decision
from imageferry.core.image import Place
from imageferry.core.job import ACTION_KINDS, BACKFILL, FRESH, Job, NewJob, Priority, job_id
from imageferry.ledgers.rows import JOB_COLUMNS, dump, job_row, load
from imageferry.ledgers.script import Ask, Script, one_of, sql
from imageferry.ports import DueLook, LookDone, LookLater, NewlyDone

MOST_PLANNED: Final = 20
"""Jobs of a back-fill that may wait for their submit in a region before more of its images are looked at. An image in
the queue waits for as long as it takes; a job is given up after a time."""

_DUE: Final = """
SELECT cloud, account, region, image_id, attempts, first_seen_at, priority, version, only_policies FROM images
WHERE account = ? AND region = ? AND priority = ? AND look_due_at IS NOT NULL AND look_due_at <= ?
ORDER BY look_due_at LIMIT ?
"""
_BACKLOG: Final = """
SELECT COUNT(*) FROM jobs WHERE account = ? AND region = ? AND action = ? AND priority = ? AND state = 'planned'
"""
_NEXT: Final = """
SELECT MIN(look_due_at) FROM images
WHERE account = ? AND region = ? AND priority = ? AND look_due_at IS NOT NULL
"""
_LATER: Final = """
UPDATE images SET look_due_at = ?, reason = ?, attempts = attempts + ?, looked_at = ?, version = version + 1
WHERE cloud = ? AND account = ? AND region = ? AND image_id = ? AND version = ? AND look_due_at IS NOT NULL
"""
_SEEN: Final = """
UPDATE images SET looked_at = ?, facts = ?, decision = ?, undecided = ?
WHERE cloud = ? AND account = ? AND region = ? AND image_id = ?
"""
_SAID: Final = "SELECT decision FROM images WHERE cloud = ? AND account = ? AND region = ? AND image_id = ?"
_CLOSED: Final = """
UPDATE images SET outcome = ?, reason = ?, look_due_at = NULL, only_policies = NULL, attempts = 0, looked_at = ?,
    version = version + 1,
    undecided = CASE WHEN ? = 'decided' THEN undecided ELSE 0 END
WHERE cloud = ? AND account = ? AND region = ? AND image_id = ? AND version = ?
"""
_PLANNED: Final = sql(
    *("INSERT INTO jobs (", JOB_COLUMNS, ") VALUES", one_of(JOB_COLUMNS.split(",")), "ON CONFLICT (key) DO NOTHING"),
    "RETURNING id",
)
HISTORY: Final = """
INSERT INTO history (job_id, at, from_state, to_state, reason, class, vendor_code, request_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
OUTBOX: Final = "INSERT INTO outbox (event_id, job_id, image_id, body, created_at) VALUES (?, ?, ?, ?, ?)"


def due_looks(account: str, region: str, now: int, limit: int) -> Script[list[DueLook]]:
    """Fresh ones, then back-fill as far as there is room for its jobs, the longest due first."""
    due = yield from _due(account, region, FRESH, now, limit)
    if len(due) == limit:
        return due
    old = yield from _due(account, region, BACKFILL, now, min(limit - len(due), MOST_PLANNED))
    room = max(0, MOST_PLANNED - (yield from _backlog(account, region))) if old else 0
    return due + old[:room]


def _due(account: str, region: str, priority: Priority, now: int, limit: int) -> Script[list[DueLook]]:
    rows = yield Ask(_DUE, (account, region, priority, now, limit))
    return [_read_due(*row) for row in rows]


def _read_due(cloud: str, account: str, region: str, *row: Any) -> DueLook:  # noqa: ANN401 - a row's columns
    *facts, only = row
    return DueLook(Place(cloud, account, region), *facts)._replace(only=tuple(load(only or "[]")))


def _backlog(account: str, region: str) -> Script[int]:
    """How many jobs of a back-fill wait for their submit."""
    counts = []
    for action in ACTION_KINDS:
        [[count]] = yield Ask(_BACKLOG, (account, region, action, BACKFILL))
        counts.append(count)
    return sum(counts)


def next_look(account: str, region: str) -> Script[int | None]:
    """When the next look falls due."""
    times: list[int] = []
    for priority in (FRESH, BACKFILL):
        [[due_at]] = yield Ask(_NEXT, (account, region, priority))
        times += [] if due_at is None else [due_at]
    return min(times, default=None)


def put_off_looks(rows: Sequence[LookLater], now: int) -> Script[None]:
    """Look again later, but for those that a sighting made due meanwhile."""
    for due, due_at, reason, counted in rows:
        yield Ask(_LATER, (due_at, reason, int(counted), now, *due.place, due.image_id, due.version))


def close_looks(rows: Sequence[LookDone], now: int) -> Script[NewlyDone]:
    """Write decisions, jobs and the first line of their history; returns the jobs that are new."""
    planned = 0
    failed: list[Job] = []
    for done in rows:
        image = (*done.due.place, done.due.image_id)
        if done.decision is not None:
            yield from _write_decision(done.decision, image, now)
        yield Ask(_CLOSED, (done.outcome, done.reason, now, done.outcome, *image, done.due.version))
        for new in done.jobs:
            job = _born(new, done.due.first_seen_at, now)
            if not (yield from _bear(job, now)):
                yield from _join(job)
            elif job.state == "failed":
                failed.append(job)
            else:
                planned += 1
    return NewlyDone(planned, tuple(failed))


def _write_decision(decision: Decision, image: tuple[str, str, str, str], now: int) -> Script[None]:
    """Where only some policies were asked, what the others said last stays."""
    told = [{"policy": v.policy, "verdict": v.verdict, "reason": v.reason} for v in decision.verdicts]
    if decision.only:
        [[text]] = yield Ask(_SAID, image)
        said = [] if text is None else load(text)["verdicts"]
        told = [*(verdict for verdict in said if verdict["policy"] not in decision.only), *told]
    undecided = any(verdict["verdict"] == "unknown" for verdict in told)
    document = dump({"digest": decision.digest, "verdicts": told})
    yield Ask(_SEEN, (now, dump(decision.image.to_json()), document, int(undecided), *image))


def _born(new: NewJob, sighted_at: int, now: int) -> Job:
    """The job as its first row has it: planned, or failed where it can never be done."""
    key = new.key
    return Job(
        id=job_id(key),
        key=key,
        place=new.place,
        image_id=new.image_id,
        image_name=new.image_name,
        action=new.action,
        destination=new.destination,
        options=new.options,
        policies=new.policies,
        state="failed" if new.refusal_class else "planned",
        reason=new.reason,
        priority=new.priority,
        version=1,
        created_at=now,
        due_at=now,
        give_up_at=new.give_up_at,
        klass=new.refusal_class,
        sighted_at=sighted_at,
        ended_at=now if new.refusal_class else None,
    )


def _bear(job: Job, now: int) -> Script[bool]:
    """Write a job that does not exist yet; False when its key is known."""
    if not (yield Ask(_PLANNED, job_row(job))):
        return False
    yield Ask(HISTORY, (job.id, now, "", job.state, job.reason, job.klass, "", ""))
    if job.ended_at is not None:
        yield Ask(OUTBOX, (completion_id(job), job.id, job.image_id, completion(job), now))
    return True


def _join(job: Job) -> Script[None]:
    """Add the policies that a known job does not have yet; a fresh wish brings a back-fill's job forward.

    Its version stays: neither is a part of its life, and a request under way must not lose its answer over them.
    """
    [[text]] = yield Ask("SELECT policies FROM jobs WHERE key = ?", (job.key,))
    known = load(text)
    missing = [name for name in job.policies if name not in known]
    if missing:
        yield Ask("UPDATE jobs SET policies = ? WHERE key = ?", (dump(known + missing), job.key))
    yield Ask("UPDATE jobs SET priority = ? WHERE key = ? AND priority > ?", (job.priority, job.key, job.priority))
