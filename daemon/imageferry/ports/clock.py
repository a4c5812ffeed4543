"""Time, given and never taken: the clock port."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, given and never taken."""

    def now(self) -> int:
        """The wall clock, microseconds UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less only yields."""
        ...
