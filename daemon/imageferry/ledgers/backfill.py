"""Putting images that exist already before the policies, behind everything fresh.

Called by the store; what is asked of an image that waits already is only ever widened.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from imageferry.core.image import Place
from imageferry.core.job import BACKFILL, FRESH
from imageferry.ledgers.rows import dump, load
from imageferry.ledgers.script import Ask, Script
from imageferry.ports import PutIn

_WAITS: Final = """
SELECT priority, only_policies FROM images
WHERE cloud = ? AND account = ? AND region = ? AND image_id = ? AND look_due_at IS NOT NULL
"""
_PUT: Final = """
INSERT INTO images (
    cloud, account, region, image_id, outcome, reason, look_due_at, first_seen_at, priority, only_policies
)
VALUES (?, ?, ?, ?, 'due', ?, ?, ?, ?, ?)
ON CONFLICT (cloud, account, region, image_id) DO UPDATE SET
    outcome = excluded.outcome,
    reason = excluded.reason,
    look_due_at = excluded.look_due_at,
    first_seen_at = excluded.first_seen_at,
    attempts = 0,
    priority = excluded.priority,
    only_policies = excluded.only_policies,
    version = images.version + 1
"""
_WIDEN: Final = """
UPDATE images SET only_policies = ?, reason = ?, version = version + 1
WHERE cloud = ? AND account = ? AND region = ? AND image_id = ?
"""


def put_in(place: Place, image_ids: Sequence[str], only: Collection[str], now: int) -> Script[PutIn]:
    """Make images due, each once; a fresh sighting that waits asks every policy already."""
    waiting = 0
    for image_id in image_ids:
        image = (*place, image_id)
        rows = yield Ask(_WAITS, image)
        if not rows:
            yield Ask(_PUT, (*image, _reason(only), now, now, BACKFILL, _names(only)))
            continue
        waiting += 1
        priority, asked = rows[0]
        wanted = {*load(asked), *only} if only and asked is not None else ()
        if priority != FRESH and asked is not None and _names(wanted) != asked:
            yield Ask(_WIDEN, (_names(wanted), _reason(wanted), *image))
    return PutIn(len(image_ids) - waiting, waiting)


def _names(only: Collection[str]) -> str | None:
    return dump(sorted(only)) if only else None


def _reason(only: Collection[str]) -> str:
    return f"put in by backfill for {', '.join(sorted(only))}" if only else "put in by backfill"
