"""The outbox: which completions a publisher still has to publish, and which everyone has.

Called by the store. A row is written where a job ends, never here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from imageferry.ledgers.script import Ask, Script, one_of, sql
from imageferry.ports import OutboxRow

_PENDING: Final = """
SELECT seq, image_id, event_id, body FROM outbox
WHERE done_at IS NULL
AND NOT EXISTS (SELECT 1 FROM outbox_marks AS mark WHERE mark.seq = outbox.seq AND mark.publisher = ?)
ORDER BY seq LIMIT ?
"""
_MARK: Final = """
INSERT INTO outbox_marks (seq, publisher, published_at)
SELECT seq, CAST(? AS TEXT), CAST(? AS BIGINT) FROM outbox WHERE done_at IS NULL AND seq IN
"""
_DONE: Final = "UPDATE outbox SET done_at = ? WHERE done_at IS NULL AND"
_BY_EVERYONE: Final = "(SELECT COUNT(*) FROM outbox_marks AS mark WHERE mark.seq = outbox.seq AND mark.publisher IN"
_AT_ONCE: Final = 500


def pending(publisher: str, limit: int) -> Script[list[OutboxRow]]:
    """Oldest first."""
    rows = yield Ask(_PENDING, (publisher, limit))
    return [OutboxRow(*row) for row in rows]


def outbox_size() -> Script[int]:
    """Rows that not everyone has published."""
    [[count]] = yield Ask("SELECT COUNT(*) FROM outbox WHERE done_at IS NULL")
    return int(count)


def published(publisher: str, seqs: Sequence[int], everyone: Collection[str], now: int) -> Script[None]:
    """Mark rows, and finish those that everyone has.

    Without any ``seqs`` the whole outbox is looked through: at a start, after a publisher was taken out of the config.
    """
    names = sorted({*everyone})
    if not seqs:
        yield from _finish("seq > ?", (0,), names, now)
    for start in range(0, len(seqs), _AT_ONCE):
        some = tuple(seqs[start : start + _AT_ONCE])
        yield Ask(sql(_MARK, one_of(some), "ON CONFLICT (seq, publisher) DO NOTHING"), (publisher, now, *some))
        yield from _finish(sql("seq IN", one_of(some)), some, names, now)


def _finish(which: str, params: Sequence[int], everyone: Sequence[str], now: int) -> Script[None]:
    if not everyone:
        return
    by_everyone = sql(_BY_EVERYONE, one_of(everyone), ") = ?")
    done = yield Ask(sql(_DONE, which, "AND", by_everyone, "RETURNING seq"), (now, *params, *everyone, len(everyone)))
    seqs = [row[0] for row in done]
    for start in range(0, len(seqs), _AT_ONCE):
        some = seqs[start : start + _AT_ONCE]
        yield Ask(sql("DELETE FROM outbox_marks WHERE seq IN", one_of(some)), some)
