"""The machine's own clock, for the wiring in app and the commands; everything else is handed one.

It keeps no time of its own and sets none.
"""

from __future__ import annotations

import time

import anyio


class SystemClock:
    """The clock port over the machine's clocks."""

    def now(self) -> int:
        """The wall clock, microseconds UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less only yields."""
        await anyio.sleep(max(0.0, seconds))
