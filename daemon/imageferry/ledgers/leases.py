"""Lanes with their leases, and the sources' bookmarks. Called by the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imageferry.ledgers.script import Ask, Script

_TAKE: Final = """
INSERT INTO lanes (name, owner, held_until) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, held_until = excluded.held_until
WHERE lanes.owner = excluded.owner OR lanes.held_until <= ?
RETURNING name
"""
_SET: Final = """
INSERT INTO cursors (name, value, updated_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
"""


def claim_lanes(owner: str, lanes: Sequence[str], now: int, until: int) -> Script[set[str]]:
    """Take or keep what is free, expired or ours; whether it still is stands in the writing statement itself."""
    held: set[str] = set()
    for lane in sorted({*lanes}):
        rows = yield Ask(_TAKE, (lane, owner, until, now))
        held |= {row[0] for row in rows}
    return held


def release_lanes(owner: str) -> Script[None]:
    """Give every lane of an owner back."""
    yield Ask("DELETE FROM lanes WHERE owner = ?", (owner,))


def cursor(name: str) -> Script[str | None]:
    """A bookmark."""
    rows = yield Ask("SELECT value FROM cursors WHERE name = ?", (name,))
    return rows[0][0] if rows else None


def set_cursor(name: str, value: str, now: int) -> Script[None]:
    """Write a bookmark."""
    yield Ask(_SET, (name, value, now))
