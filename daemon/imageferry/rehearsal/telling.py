"""What a rehearsal cloud tells of itself, as far as it is the same for every vendor, and what it reads of a request.

The rehearsal clouds' ``state`` and routes are made with it. It holds nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from starlette.requests import Request as HttpRequest

from imageferry.rehearsal.journal import Journal
from imageferry.rehearsal.misbehaviour import Misbehaviours
from imageferry.rehearsal.signatures import Signed
from imageferry.rehearsal.store import Store

Part = Callable[[], Any]

RECENT: Final = "recent"
"""The part that is only told when it is named."""


def common_parts(
    store: Store, faults: Misbehaviours, journal: Journal, busiest: Mapping[tuple[str, str], int], now: int
) -> dict[str, Part]:
    """The parts of a state that every rehearsal cloud has, beside its images."""
    return {
        "tasks": lambda: [task.to_json(now) for task in store.tasks],
        "objects": lambda: list(store.objects(now)),
        "requests": lambda: {**journal.to_json(), "busiest": _pairs(busiest, "entry")},
        "running": lambda: _pairs(store.most_running(), "scope"),
        "misbehaviours": lambda: [
            {"id": s.id, "fault": s.fault.fault, "left": s.left, "hits": s.hits} for s in faults.standing()
        ],
        RECENT: lambda: [each.to_json() for each in journal.last],
    }


def chosen(made: Mapping[str, Part], parts: Collection[str]) -> dict[str, Any]:
    """The named parts, or all but :data:`RECENT` when none is named.

    :raises ValueError: there is no such part.
    """
    if not made.keys() >= set(parts):
        raise ValueError(f"parts: there are only {', '.join(made)}")
    return {part: made[part]() for part in parts or [part for part in made if part != RECENT]}


def signed_parts(request: HttpRequest, body: bytes) -> Signed:
    """The parts of a request that signatures are about."""
    path = request.scope["raw_path"].decode("ascii")
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Signed(request.method, path, request.url.query, headers, body)


def _pairs(counts: Mapping[tuple[str, str], int], second: str) -> list[dict[str, Any]]:
    return [{"action": action, second: other, "most": count} for (action, other), count in sorted(counts.items())]
