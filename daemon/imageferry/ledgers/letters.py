"""Dead letters: keeping, listing and replaying what could not be read. Called by the intake's script and the store.

A letter is never removed: one that was replayed is marked, and what it said after all stands beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

from imageferry.errors import MoveConflict
from imageferry.ledgers.rows import dump
from imageferry.ledgers.script import Ask, Script, insert_all, sql
from imageferry.ports import DeadLetter, Headers, LetterHead, Unreadable

_DEAD: Final = "INSERT INTO dead_letters (source, digest, received_at, reason, body, headers)"
_NEWLY_DEAD: Final = "ON CONFLICT (source, digest) DO NOTHING RETURNING id"
_LETTERS: Final = "SELECT id, source, received_at, reason, body, headers, replayed_at, outcome FROM dead_letters"
_HEADS: Final = "SELECT id, source, received_at, reason, length(body), replayed_at, outcome FROM dead_letters"
_REPLAYED: Final = """
UPDATE dead_letters SET replayed_at = ?, outcome = ? WHERE id = ? AND replayed_at IS NULL RETURNING id
"""
_NO_LIMIT: Final = 2**62
_PAGE: Final = 100
"""Letters that are looked through at once: each may be a megabyte."""


def bury(unread: Sequence[Unreadable], now: int) -> Script[int]:
    """Keep deliveries that could not be read; the same bytes from the same place are one. Returns how many are new."""
    rows = [
        (row.source, hashlib.sha256(row.body).hexdigest(), now, row.reason, row.body, _packed(row.headers))
        for row in unread
    ]
    return len((yield from insert_all(_DEAD, rows, _NEWLY_DEAD)))


def dead_letters(limit: int | None) -> Script[list[DeadLetter]]:
    """Newest first."""
    rows = yield Ask(sql(_LETTERS, "ORDER BY id DESC LIMIT ?"), (_NO_LIMIT if limit is None else limit,))
    return [_letter(*row) for row in rows]


def letter_heads(limit: int | None, *, waiting: bool) -> Script[list[LetterHead]]:
    """Newest first."""
    which = "WHERE replayed_at IS NULL" if waiting else ""
    rows = yield Ask(sql(_HEADS, which, "ORDER BY id DESC LIMIT ?"), (_NO_LIMIT if limit is None else limit,))
    return [LetterHead(*row) for row in rows]


def dead_letter(letter_id: int) -> Script[DeadLetter | None]:
    """By its number."""
    rows = yield Ask(sql(_LETTERS, "WHERE id = ?"), (letter_id,))
    return _letter(*rows[0]) if rows else None


def letters_about(text: str) -> Script[list[DeadLetter]]:
    """Those whose bytes hold a text as a word of its own, oldest first."""
    word = re.escape(text.encode(errors="surrogatepass"))
    holds = re.compile(rb"(?<![A-Za-z0-9_-])" + word + rb"(?![A-Za-z0-9_-])").search
    found: list[DeadLetter] = []
    last, full = 0, True
    while full:
        rows = yield Ask(sql(_LETTERS, "WHERE id > ? ORDER BY id LIMIT ?"), (last, _PAGE))
        found += [_letter(*row) for row in rows if holds(row[4])]
        full = len(rows) == _PAGE
        last = rows[-1][0] if rows else last
    return found


def waiting_letters(after: int, limit: int) -> Script[list[int]]:
    """The numbers of those that were not replayed, oldest first, behind a number."""
    rows = yield Ask(
        "SELECT id FROM dead_letters WHERE replayed_at IS NULL AND id > ? ORDER BY id LIMIT ?", (after, limit)
    )
    return [row[0] for row in rows]


def mark_replayed(letter_id: int, outcome: str, now: int) -> Script[None]:
    """Its events are recorded in the same transaction.

    :raises MoveConflict: somebody was faster, or it is not there.
    """
    if not (yield Ask(_REPLAYED, (now, outcome, letter_id))):
        raise MoveConflict(f"dead letter {letter_id} is not there, or was replayed already")


def still_dead(letter_id: int, reason: str) -> Script[None]:
    """It could not be read again: the reason is today's."""
    yield Ask("UPDATE dead_letters SET reason = ? WHERE id = ? AND replayed_at IS NULL", (reason, letter_id))


def _packed(headers: Headers) -> str:
    return dump([[name, None if value is None else b64encode(value).decode()] for name, value in headers])


def _letter(*row: Any) -> DeadLetter:  # noqa: ANN401 - a row's columns
    letter_id, source, received_at, reason, body, packed, replayed_at, outcome = row
    headers = tuple((name, None if value is None else b64decode(value)) for name, value in json.loads(packed))
    return DeadLetter(letter_id, source, received_at, reason, body, headers, replayed_at, outcome)
