"""How often a key may ask: requests counted in a sliding window, as a rehearsal cloud enforces its rates.

The rehearsal clouds call it once a request. It never waits and knows nothing of what is counted.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 0.9
"""Seconds that a rate of N a second is judged over: at most N requests within any of them.

Not a whole second: the clock jitter of one machine is about 65 ms, so that a client that keeps to N a second exactly
would now and then show N + 1 arrivals within a sliding second and be refused for it. A client that is 11 % too fast
is still caught.
"""


class RateWindow:
    """Arrivals of one kind; refused ones count too."""

    def __init__(self, width: float = WINDOW) -> None:
        self._width = width
        self._arrivals: deque[float] = deque()
        self.busiest = 0
        """The most arrivals within any window so far."""

    def arrive(self, at: float) -> int:
        """Count an arrival at ``at`` (monotonic seconds); how many the window that ends with it holds."""
        oldest = at - self._width
        while self._arrivals and self._arrivals[0] <= oldest:
            self._arrivals.popleft()
        self._arrivals.append(at)
        self.busiest = max(self.busiest, len(self._arrivals))
        return len(self._arrivals)


class RateWindows:
    """A window of ``width`` seconds for each (action, entry, key); made when it is first needed."""

    def __init__(self, width: float = WINDOW) -> None:
        self._width = width
        self._windows: dict[tuple[str, str, str], RateWindow] = {}

    def arrive(self, lane: tuple[str, str, str], at: float) -> int:
        """Count an arrival in a lane; how many its window holds."""
        return self._windows.setdefault(lane, RateWindow(self._width)).arrive(at)

    def busiest(self) -> dict[tuple[str, str], int]:
        """(action, entry) -> the most arrivals of one key within any window."""
        most: dict[tuple[str, str], int] = {}
        for (action, entry, _), window in self._windows.items():
            most[action, entry] = max(most.get((action, entry), 0), window.busiest)
        return most
