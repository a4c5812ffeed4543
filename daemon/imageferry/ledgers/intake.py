"""Recording what sources deliver: the hot path, a few statements for a whole batch.

Called by the store; every event counts once, whatever its source repeats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from imageferry.core.job import FRESH
from imageferry.ledgers.letters import bury, mark_replayed
from imageferry.ledgers.script import Ask, Script, Value, insert_all
from imageferry.ports import Admitted, Ignored, IntakeRow, Recorded, Unreadable

SIGHTED: Final = "an event says that it is there"

_LAST: Final = "SELECT COALESCE(MAX(seq), 0) FROM events"
_EVENTS: Final = "INSERT INTO events (digest, source, event_id, cloud, account, region, image_id, received_at, ignored)"
_ONCE: Final = "ON CONFLICT (digest) DO NOTHING"
_NEW: Final = "SELECT COUNT(*), COUNT(ignored) FROM events WHERE seq > ?"
_DUE: Final = """
INSERT INTO images (cloud, account, region, image_id, outcome, reason, look_due_at, first_seen_at, priority)
SELECT DISTINCT cloud, account, region, image_id, 'due', ?, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT)
FROM events WHERE seq > ? AND ignored IS NULL ORDER BY image_id
ON CONFLICT (cloud, account, region, image_id) DO UPDATE SET
    outcome = excluded.outcome,
    reason = excluded.reason,
    look_due_at = excluded.look_due_at,
    first_seen_at = CASE WHEN images.look_due_at IS NULL THEN excluded.first_seen_at ELSE images.first_seen_at END,
    attempts = CASE WHEN images.look_due_at IS NULL THEN 0 ELSE images.attempts END,
    priority = excluded.priority,
    only_policies = NULL,
    version = images.version + 1
"""


def record(batch: Sequence[IntakeRow], now: int) -> Script[Recorded]:
    """Events, the looks they make due, and dead letters; what is known already counts as duplicate.

    What is new stays in the database, behind the last event that was there before: rows that came back one by one
    would cost this process more than the writing. Beside another writing process, one of its events may be counted
    here too, and its image be looked at once more; neither does harm.
    """
    events: list[tuple[Value, ...]] = []
    unread: list[Unreadable] = []
    for row in batch:
        if isinstance(row, Admitted):
            (source, event_id, _, _, _, image_id), place = row
            events.append((_digest(source, event_id), source, event_id, *place, image_id, now, None))
        elif isinstance(row, Ignored):
            events.append(_ignored(row, now))
        else:
            unread.append(row)
    new, ignored = (yield from _told(events, now)) if events else (0, 0)
    dead = (yield from bury(unread, now)) if unread else 0
    return Recorded(new - ignored, len(batch) - new - dead, ignored, dead)


def replay(letter_id: int, rows: Sequence[IntakeRow], now: int) -> Script[Recorded]:
    """What a dead letter says after all, and that it was read.

    :raises MoveConflict: it was replayed already, or is not there.
    """
    recorded = yield from record(rows, now)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in recorded._asdict().items() if count)
    yield from mark_replayed(letter_id, counts or "read: it says nothing of an image", now)
    return recorded


def _told(events: Sequence[tuple[Value, ...]], now: int) -> Script[tuple[int, int]]:
    """Write events, and make the images of new ones due at once, each in one row however many events tell of it.

    Returns how many events are new, and how many of these are ignored.
    """
    [[last]] = yield Ask(_LAST)
    yield from insert_all(_EVENTS, events, _ONCE)
    [[new, ignored]] = yield Ask(_NEW, (last,))
    if new > ignored:
        yield Ask(_DUE, (SIGHTED, now, now, FRESH, last))
    return new, ignored


def _digest(source: str, event_id: str) -> bytes:
    """What an event is known by: the same for every repeat of it."""
    return hashlib.blake2b(f"{len(source)}:{source}{event_id}".encode(errors="surrogatepass"), digest_size=16).digest()


def _ignored(row: Ignored, now: int) -> tuple[Value, ...]:
    said = row.sighting
    place = (said.cloud, said.account or "", said.region)
    digest = _digest(said.source, said.event_id)
    return (digest, said.source, said.event_id, *place, said.image_id, now, row.reason)
