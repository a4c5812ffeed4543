"""What a rehearsal cloud was asked and how it answered, counted for the tests and people that look at it afterwards.

The rehearsal clouds write it, one entry a request. It keeps counters for ever, and the last requests only; headers
and bodies are not kept.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final, NamedTuple

from imageferry.core.times import rfc3339

KEPT: Final = 5_000
"""How many requests are remembered one by one."""

OK: Final = "ok"


class Request(NamedTuple):
    """One request as the rehearsal saw it."""

    at: int
    action: str
    region: str
    image_ids: tuple[str, ...]
    outcome: str
    """``ok``, the vendor code of the answer, or the fault that befell it: ``drop``, ``hang``, ``http 503`` …"""
    request_id: str

    def to_json(self) -> dict[str, Any]:
        """As the state endpoint shows it."""
        return {**self._asdict(), "at": rfc3339(self.at), "image_ids": list(self.image_ids)}


class Journal:
    """Counters over all requests, and the last of them.

    ``throttling``: the vendor codes of a request that is refused for its rate.
    """

    def __init__(self, *throttling: str) -> None:
        self._throttling = throttling or ("RequestLimitExceeded",)
        self.last: deque[Request] = deque(maxlen=KEPT)
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """(action, outcome) -> requests."""
        self.accepted: Counter[tuple[str, str, str]] = Counter()
        """(action, image, destination) -> tasks that were accepted, dropped answers and late work included."""

    def add(self, request: Request) -> None:
        """Write one request down."""
        self.last.append(request)
        self.outcomes[request.action, request.outcome] += 1

    def asked(self, action: str | None = None) -> int:
        """How many requests there were, whatever came of them."""
        return sum(count for (name, _), count in self.outcomes.items() if action in (None, name))

    def answered(self, outcome: str, action: str | None = None) -> int:
        """How many requests ended so; a code stands for itself and everything below it (``AuthFailure``)."""
        return sum(
            count
            for (name, ended), count in self.outcomes.items()
            if action in (None, name) and (ended == outcome or ended.startswith(f"{outcome}."))
        )

    @property
    def throttled(self) -> int:
        """How many requests were refused for their rate."""
        return sum(self.answered(code) for code in self._throttling)

    def to_json(self) -> dict[str, Any]:
        """The counters as the state endpoint shows them."""
        return {
            "total": self.asked(),
            "throttled": self.throttled,
            "outcomes": [
                {"action": action, "outcome": outcome, "count": count}
                for (action, outcome), count in sorted(self.outcomes.items())
            ],
            "accepted": [
                {"action": action, "image_id": image, "destination": destination, "count": count}
                for (action, image, destination), count in sorted(self.accepted.items())
            ],
        }
