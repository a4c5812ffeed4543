"""Work that a rehearsal cloud does after its request has gone without an answer.

A rehearsal cloud puts it off here, and lets it be done before it looks at anything else. Nothing runs by itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Work = Callable[[int], None]
"""Given the time that it is done at."""


class LateWork:
    """Work that waits for its time, the earliest first; of the same time, in the order in which it was put off."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Work]] = []
        self._put_off = 0

    def __len__(self) -> int:
        """How much waits."""
        return len(self._waiting)

    def put_off(self, due: int, work: Work) -> None:
        """Let ``work`` be done at ``due``."""
        self._put_off += 1
        heapq.heappush(self._waiting, (due, self._put_off, work))

    def settle(self, now: int) -> None:
        """Do everything whose time has come, each as if it were done when it was due."""
        while self._waiting and self._waiting[0][0] <= now:
            due, _, work = heapq.heappop(self._waiting)
            work(due)
