"""The database itself refuses what the rules forbid, whoever writes."""

from __future__ import annotations

from typing import Final

import pytest

from imageferry.core.answers import ANSWER_CLASSES
from imageferry.core.machine import END_STATES, STATES, State, allowed
from imageferry.ledgers.rows import JOB_COLUMNS
from support.clocks import FakeClock
from support.ledgers import NOW, Database, job_in

RAW_MOVE: Final = """
UPDATE jobs SET state = ?, version = version + 1, ended_at = ?, sent_at = ?, submitted_at = ?, task_ref = 'task-1',
    request = '{"a":1}'
"""


def raw_move(database: Database, to: State) -> None:
    """A move with every other column as the new state wants it, so that only the move itself can be wrong."""
    ended_at = NOW if to in END_STATES else None
    sent_at = NOW if to in {"submitting", "in_doubt"} else None
    database.raw(RAW_MOVE, (to, ended_at, sent_at, NOW))


@pytest.mark.parametrize("new", STATES)
@pytest.mark.parametrize("old", STATES)
async def test_the_database_has_the_same_moves_as_the_table(database: Database, old: State, new: State) -> None:
    async with database.open(FakeClock()) as ledger:
        await job_in(ledger, old)
    if allowed(old, new) or old == new:
        raw_move(database, new)
        assert database.raw("SELECT state FROM jobs") == [(new,)]
    else:
        with pytest.raises(database.refused):
            raw_move(database, new)
        assert database.raw("SELECT state FROM jobs") == [(old,)]


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("planned", "state = 'lost', version = version + 1"),
        ("planned", "ended_at = 1"),
        ("failed", "ended_at = NULL"),
        ("planned", "state = 'failed', version = version + 1"),
        ("planned", "state = 'failed', ended_at = 1"),
        ("planned", "state = 'failed', ended_at = 1, version = version + 2"),
        ("planned", "state = 'submitting', version = version + 1, sent_at = 1"),
        ("planned", "state = 'submitting', version = version + 1, request = '{\"a\":1}'"),
        ("planned", "sent_at = 1"),
        ("submitting", "sent_at = NULL"),
        ("submitting", "request = '{}'"),
        ("in_doubt", "sent_at = NULL"),
        ("in_doubt", "request = '{}'"),
        ("submitting", "state = 'running', version = version + 1, sent_at = NULL, submitted_at = 1"),
        ("running", "task_ref = ''"),
        ("running", "submitted_at = NULL"),
        ("running", "sent_at = 1"),
        ("planned", "attempts = -1"),
        ("planned", "sends = -1"),
        ("planned", "attempt = 0"),
        ("planned", "version = 0"),
        ("planned", "priority = 2"),
        ("planned", "class = 'odd'"),
        ("planned", "id = 'another'"),
        ("planned", "key = id || 'another'"),
        ("planned", "destination = 'another'"),
        ("planned", "action = 'move'"),
        ("planned", "image_id = 'another'"),
        ("planned", "reason = NULL"),
    ],
)
async def test_a_row_that_makes_no_sense_is_refused(database: Database, state: State, change: str) -> None:
    async with database.open(FakeClock()) as ledger:
        job = await job_in(ledger, state)
    with pytest.raises(database.refused):
        database.raw(f"UPDATE jobs SET {change}")  # noqa: S608 - the statements above
    async with database.reader() as reader:
        assert await reader.job(job.id) == job


@pytest.mark.parametrize("klass", ["", *ANSWER_CLASSES])
async def test_every_class_of_an_answer_can_be_stored(database: Database, klass: str) -> None:
    async with database.open(FakeClock()) as ledger:
        await job_in(ledger, "planned")
    database.raw("UPDATE jobs SET class = ?", (klass,))
    assert database.raw("SELECT class FROM jobs") == [(klass,)]


@pytest.mark.parametrize("state", [state for state in STATES if state not in {"planned", "failed"}])
async def test_a_job_is_not_born_under_way_or_done(database: Database, state: State) -> None:
    async with database.open(FakeClock()) as ledger:
        await job_in(ledger, state)
    kept = [name.strip() for name in JOB_COLUMNS.split(",") if name.strip() not in {"id", "key", "image_id", "version"}]
    columns = ", ".join(kept)
    database.raw(
        "INSERT INTO images (cloud, account, region, image_id, outcome, reason, first_seen_at) "
        "SELECT cloud, account, region, 'img-2', outcome, reason, first_seen_at FROM images"
    )
    copy = (
        f"INSERT INTO jobs (id, key, image_id, version, {columns}) "  # noqa: S608 - names from the schema
        f"SELECT 'a' || substr(id, 2), 'a' || substr(key, 2), 'img-2', 1, {columns} FROM jobs"
    )
    with pytest.raises(database.refused, match="born"):
        database.raw(copy)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE images SET outcome = 'decided'",
        "UPDATE images SET look_due_at = NULL",
        "UPDATE images SET outcome = 'lost'",
        "UPDATE images SET attempts = -1",
        "DELETE FROM images",
        "DELETE FROM jobs",
        "UPDATE history SET reason = 'another'",
        "INSERT INTO lanes (name, owner, held_until) VALUES ('l', '', 1)",
        "INSERT INTO outbox (event_id, job_id, image_id, body, created_at) VALUES ('e', 'nobody', 'i', '{}', 1)",
    ],
)
async def test_other_tables_guard_themselves_too(database: Database, statement: str) -> None:
    async with database.open(FakeClock()) as ledger:
        await job_in(ledger, "failed")
        await job_in(ledger, "planned", "img-2")
    database.raw("UPDATE images SET outcome = 'due', look_due_at = 1")
    with pytest.raises(database.refused):
        database.raw(statement)


async def test_two_jobs_of_one_image_are_never_in_flight(database: Database) -> None:
    async with database.open(FakeClock()) as ledger:
        await job_in(ledger, "planned", destination="one")
        await job_in(ledger, "planned", destination="two")
    with pytest.raises(database.refused):
        database.raw("UPDATE jobs SET state = 'submitting', version = version + 1, sent_at = 1, request = '{\"a\":1}'")
