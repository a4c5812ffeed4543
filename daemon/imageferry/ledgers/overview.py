"""What people ask of the ledger as a whole: what was said of one image, and how far each policy is.

Called by the store; nothing here writes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from imageferry.core.image import Place
from imageferry.ledgers.script import Ask, Rows, Script
from imageferry.ports import Covered, EventRow

_EVENTS: Final = (
    "SELECT source, event_id, cloud, account, region, received_at, ignored FROM events WHERE image_id = ? ORDER BY seq"
)
"""Looks through all events: an index by image would cost every intake a third of its speed, for a rare question."""
_JOBS: Final = (
    "SELECT image_id, cloud, account, region, policies, state, created_at FROM jobs WHERE image_id > ? "
    "ORDER BY image_id LIMIT ?"
)
_UNDECIDED: Final = "SELECT cloud, account, region, decision FROM images WHERE undecided = 1"
_PAGE: Final = 20_000
"""Jobs that are counted at once; one image has far fewer."""

_Key = tuple[str, Place]
"""A policy and a place."""


def events_of(image_id: str) -> Script[list[EventRow]]:
    """Oldest first."""
    rows = yield Ask(_EVENTS, (image_id,))
    return [EventRow(row[0], row[1], Place(*row[2:5]), *row[5:]) for row in rows]


def coverage() -> Script[list[Covered]]:
    """By policy and place."""
    counts: Counter[tuple[_Key, str]] = Counter()
    oldest: dict[_Key, int] = {}
    last, full = "", True
    while full:
        rows = yield Ask(_JOBS, (last, _PAGE))
        full = len(rows) == _PAGE
        if full:
            rows = _whole_images(rows)
        last = rows[-1][0] if rows else last
        by_image: dict[Sequence[Any], list[tuple[Any, ...]]] = {}
        for row in rows:
            by_image.setdefault(row[:4], []).append(row)  # two places may have the same id, their jobs in any order
        for of_image in by_image.values():
            _count_image(of_image, counts, oldest)
    for cloud, account, region, decision in (yield Ask(_UNDECIDED)):
        for verdict in json.loads(decision or "{}").get("verdicts", ()):
            if verdict["verdict"] == "unknown":
                counts[(verdict["policy"], Place(cloud, account, region)), "undecided"] += 1
    return [_covered(key, counts, oldest.get(key)) for key in sorted({key for key, _ in counts})]


def _whole_images(rows: Rows) -> Rows:
    """A page without its last image, of which the next page may have more."""
    return [row for row in rows if row[0] != rows[-1][0]] or rows


def _count_image(rows: Sequence[tuple[Any, ...]], counts: Counter[tuple[_Key, str]], oldest: dict[_Key, int]) -> None:
    """Count one image for every policy that wants anything of it, by the worst that became of that."""
    place = Place(*rows[0][1:4])
    by_policy: dict[str, list[tuple[str, int]]] = {}
    for *_, policies, state, created_at in rows:
        for policy in json.loads(policies):
            by_policy.setdefault(policy, []).append((state, created_at))
    for policy, jobs in by_policy.items():
        key = (policy, place)
        counts[key, _worst(state for state, _ in jobs)] += 1
        open_since = [at for state, at in jobs if state not in {"succeeded", "cancelled"}]
        if open_since:
            oldest[key] = min([*open_since, *([oldest[key]] if key in oldest else [])])


def _worst(states: Iterable[str]) -> str:
    seen = set(states)
    if "failed" in seen:
        return "failed"
    if seen - {"succeeded", "cancelled"}:
        return "on_the_way"
    return "cancelled" if "cancelled" in seen else "protected"


def _covered(key: _Key, counts: Counter[tuple[_Key, str]], oldest: int | None) -> Covered:
    policy, place = key
    return Covered(
        policy,
        place,
        protected=counts[key, "protected"],
        on_the_way=counts[key, "on_the_way"],
        failed=counts[key, "failed"],
        cancelled=counts[key, "cancelled"],
        undecided=counts[key, "undecided"],
        oldest=oldest,
    )
