"""Questions about jobs and images: for the loops, and for the lists that people read.

Called by the store; nothing here writes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

from imageferry.core.image import Place
from imageferry.core.job import ACTION_KINDS, FRESH, ActionKind, Job, JobFilter
from imageferry.core.machine import OPEN_STATES, State
from imageferry.ledgers.looks import next_look
from imageferry.ledgers.moving import IN_FLIGHT
from imageferry.ledgers.rows import JOB_COLUMNS, dump, read_image, read_job
from imageferry.ledgers.script import Ask, Script, Value, one_of, sql
from imageferry.ports import Counted, HistoryRow, ImageRow, Unprotected

_JOBS: Final = sql("SELECT", JOB_COLUMNS, "FROM jobs")
_OPEN: Final = "WHERE account = ? AND region = ? AND state = ? AND action = ? AND ended_at IS NULL"
_AFTER_LAST: Final = "\uffff"
"""Sorts behind every character of a key."""
_PREFIX_ROWS: Final = 2
"""Enough to see that a beginning is not unique."""
_NO_LIMIT: Final = 2**62
SOME: Final = 500
"""Values of one question, at the most."""


def job(job_id: str) -> Script[Job | None]:
    """By its id, its key, or a unique beginning of them."""
    if not job_id:
        return None
    rows = yield Ask(sql(_JOBS, "WHERE key >= ? AND key < ? LIMIT ?"), (job_id, job_id + _AFTER_LAST, _PREFIX_ROWS))
    return read_job(rows[0]) if len(rows) == 1 else None


def jobs(want: JobFilter) -> Script[list[Job]]:
    """Newest first."""
    terms: list[str] = []
    params: list[Value] = []
    for column, value in zip(
        ("state", "cloud", "account", "image_id"), (want.state, want.cloud, want.account, want.image), strict=True
    ):
        if value is not None:
            terms.append(f"{column} = ?")
            params.append(value)
    if want.policy is not None:
        terms.append("REPLACE(policies, ?, '') <> policies")  # LIKE would not mind the case
        params.append(dump([want.policy])[1:-1])
    where = sql("WHERE", " AND ".join(terms)) if terms else ""
    rows = yield Ask(sql(_JOBS, where, "ORDER BY seq DESC LIMIT ?"), (*params, _limit(want.limit)))
    return [read_job(row) for row in rows]


def _limit(limit: int | None) -> int:
    return _NO_LIMIT if limit is None else limit


def history(job_id: str) -> Script[list[HistoryRow]]:
    """Oldest first."""
    rows = yield Ask(
        "SELECT at, from_state, to_state, reason, class, vendor_code, request_id FROM history "
        "WHERE job_id = ? ORDER BY seq",
        (job_id,),
    )
    return [HistoryRow(*row) for row in rows]


def image(image_id: str) -> Script[list[ImageRow]]:
    """At every place that has it."""
    rows = yield Ask(
        "SELECT cloud, account, region, image_id, outcome, reason, look_due_at, looked_at, facts, decision "
        "FROM images WHERE image_id = ?",
        (image_id,),
    )
    return [_image_row(*row) for row in sorted(rows)]  # by place: no two are alike


def _image_row(cloud: str, account: str, region: str, *row: Any) -> ImageRow:  # noqa: ANN401 - a row's columns
    image_id, outcome, reason, due_at, looked_at, facts, decision = row
    verdicts = None if decision is None else json.loads(decision)
    place = Place(cloud, account, region)
    return ImageRow(place, image_id, outcome, reason, due_at, looked_at, read_image(facts), verdicts)


def outcomes(place: Place, image_ids: Sequence[str]) -> Script[dict[str, str]]:
    """By id, for those that are known."""
    known: dict[str, str] = {}
    for start in range(0, len(image_ids), SOME):
        some = image_ids[start : start + SOME]
        where = "WHERE cloud = ? AND account = ? AND region = ? AND image_id IN"
        rows = yield Ask(sql("SELECT image_id, outcome FROM images", where, one_of(some)), (*place, *some))
        known |= dict(rows)
    return known


def told(place: Place, image_ids: Sequence[str]) -> Script[set[str]]:
    """Of those that wait or were decided, the ones that events told of; back-fills may ask only some policies."""
    found: set[str] = set()
    for start in range(0, len(image_ids), SOME):
        some = image_ids[start : start + SOME]
        where = "WHERE cloud = ? AND account = ? AND region = ? AND priority = ? AND image_id IN"
        which = sql("SELECT image_id FROM images", where, one_of(some), "AND outcome IN ('due', 'decided')")
        found |= {row[0] for row in (yield Ask(which, (*place, FRESH, *some)))}
    return found


def counts() -> Script[list[Counted]]:
    """By place, action and state."""
    rows = yield Ask(
        "SELECT cloud, account, region, action, state, COUNT(*) FROM jobs "
        "GROUP BY cloud, account, region, action, state ORDER BY cloud, account, region, action, state"
    )
    return [Counted(Place(*row[:3]), *row[3:]) for row in rows]


def known_accounts() -> Script[set[tuple[str, str]]]:
    """(cloud, account) of every job, and of every image that is still to be looked at."""
    rows = yield Ask(
        "SELECT DISTINCT cloud, account FROM jobs UNION "
        "SELECT DISTINCT cloud, account FROM images WHERE look_due_at IS NOT NULL"
    )
    return {(cloud, account) for cloud, account in rows}


def unprotected() -> Script[list[Unprotected]]:
    """By the policies that asked."""
    rows = yield Ask(
        "SELECT policies, COUNT(*), MIN(created_at) FROM jobs WHERE state NOT IN ('succeeded', 'cancelled') "
        "GROUP BY policies ORDER BY policies"
    )
    return [Unprotected(tuple(json.loads(policies)), count, oldest) for policies, count, oldest in rows]


def open_work() -> Script[tuple[int, int]]:
    """Looks that are due now or later, and jobs that have not ended."""
    [[looks]] = yield Ask("SELECT COUNT(*) FROM images WHERE look_due_at IS NOT NULL")
    [[unended]] = yield Ask("SELECT COUNT(*) FROM jobs WHERE ended_at IS NULL")
    return looks, unended


def copies(account: str, region: str, images: Sequence[tuple[str, str | None]]) -> Script[set[str]]:
    """Which of these images in one region imageferry made, by what its copies were answered or named."""
    names = {name for _, name in images if name}
    refs = yield from _known_copies("task_ref", account, region, [image_id for image_id, _ in images])
    made = yield from _known_copies("made_name", account, region, sorted(names))
    return {image_id for image_id, name in images if image_id in refs or name in made}


def _known_copies(column: str, account: str, region: str, values: Sequence[str]) -> Script[set[str]]:
    known: set[str] = set()
    for start in range(0, len(values), SOME):
        some = values[start : start + SOME]
        where = f"FROM jobs WHERE account = ? AND destination = ? AND action = 'copy' AND {column} IN"
        rows = yield Ask(sql("SELECT", column, where, one_of(some)), (account, region, *some))
        known |= {row[0] for row in rows}
    return known


def due_jobs(
    here: tuple[str, str], state: State, now: int, limit: int, without: Collection[str] = ()
) -> Script[list[Job]]:
    """The longest due first, but for some destinations. Each action has its own run of the index.

    :param here: account and region.
    """
    found: list[Job] = []
    others = sorted(without)
    elsewhere = sql("AND destination NOT IN", one_of(others)) if others else ""
    for action in ACTION_KINDS:
        rows = yield Ask(
            sql(_JOBS, _OPEN, "AND due_at <= ?", elsewhere, "ORDER BY due_at LIMIT ?"),
            (*here, state, action, now, *others, limit),
        )
        found += [read_job(row) for row in rows]
    return sorted(found, key=lambda one: one.due_at)[:limit]


def next_job(account: str, region: str, state: State, action: ActionKind | None) -> Script[int | None]:
    """When the next job of a state falls due."""
    times: list[int] = []
    for kind in ACTION_KINDS if action is None else (action,):
        [[due_at]] = yield Ask(sql("SELECT MIN(due_at) FROM jobs", _OPEN), (account, region, state, kind))
        times += [] if due_at is None else [due_at]
    return min(times, default=None)


def has_work(account: str, region: str) -> Script[bool]:
    """Whether anything is open there; one question, as a job between two of them could be in neither answer."""
    if (yield from next_look(account, region)) is not None:
        return True
    for state in sorted(OPEN_STATES):
        if (yield from next_job(account, region, state, None)) is not None:
            return True
    return False


def overdue(now: int, limit: int, skip: int) -> Script[list[Job]]:
    """Planned and in-doubt jobs past their deadline, the longest past first."""
    where = "WHERE state IN ('planned', 'in_doubt') AND give_up_at <= ? ORDER BY give_up_at, seq LIMIT ? OFFSET ?"
    rows = yield Ask(sql(_JOBS, where), (now, limit, skip))
    return [read_job(row) for row in rows]


def in_flight(account: str, region: str | None, action: ActionKind) -> Script[dict[State, int]]:
    """Tasks that exist or may exist, by state; a state without any is not named."""
    select = sql("SELECT state, COUNT(*) FROM jobs WHERE account = ? AND action = ? AND", IN_FLIGHT)
    if region is None:
        rows = yield Ask(sql(select, "GROUP BY state"), (account, action))
    else:
        rows = yield Ask(sql(select, "AND region = ? GROUP BY state"), (account, action, region))
    return dict(rows)


def taken(job: Job) -> Script[set[str]]:
    """Task references of every other job of the same image and action."""
    rows = yield Ask(
        "SELECT task_ref FROM jobs WHERE image_id = ? AND cloud = ? AND account = ? AND region = ? AND action = ? "
        "AND id <> ? AND task_ref <> ''",
        (job.image_id, *job.place, job.action, job.id),
    )
    return {row[0] for row in rows}
