"""A clock that stands still until a test moves it; it implements the Clock port and never waits for real time."""

from __future__ import annotations

import heapq
from itertools import count

import anyio
from anyio.lowlevel import checkpoint

START = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z in microseconds."""


class FakeClock:
    """Wakes sleepers in the order of their deadlines.

    ``settle_rounds`` is how many turns of the event loop the woken tasks get before time moves on. Work that waits for
    a thread or a socket needs more than turns: wait for its own event, then advance.
    """

    def __init__(self, start: int = START, *, monotonic: float = 1000.0, settle_rounds: int = 20) -> None:
        self._start = start
        self._zero = monotonic
        self._elapsed = 0.0
        self._rounds = settle_rounds
        self._order = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._asleep = anyio.Event()

    def now(self) -> int:
        return self._start + round(self._elapsed * 1_000_000)

    def monotonic(self) -> float:
        return self._zero + self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await checkpoint()
            return
        woken = anyio.Event()
        entry = (self._elapsed + seconds, next(self._order), woken)
        heapq.heappush(self._sleepers, entry)
        self._asleep.set()
        self._asleep = anyio.Event()
        try:
            await woken.wait()
        finally:
            if not woken.is_set():
                self._sleepers.remove(entry)
                heapq.heapify(self._sleepers)

    @property
    def sleeping(self) -> int:
        """How many tasks are asleep."""
        return len(self._sleepers)

    async def until_sleeping(self, tasks: int = 1) -> None:
        """Wait until at least so many tasks are asleep."""
        while len(self._sleepers) < tasks:
            await self._asleep.wait()

    async def settle(self) -> None:
        """Let every task that can run do so for a while."""
        for _ in range(self._rounds):
            await checkpoint()

    def jump(self, seconds: float) -> None:
        """Move time at once, as after a stall: due sleepers are woken, in order, but run only afterwards."""
        self._elapsed += seconds
        self._wake()

    async def advance(self, seconds: float) -> None:
        """Move time step by step: at each deadline its sleepers run, and may sleep again, before time goes on."""
        end = self._elapsed + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._elapsed = max(self._elapsed, self._sleepers[0][0])
            self._wake()
            await self.settle()
        self._elapsed = max(self._elapsed, end)

    async def next(self) -> float:
        """Move to the next deadline and wake its sleepers; how far that was, in seconds."""
        await self.until_sleeping()
        step = max(0.0, self._sleepers[0][0] - self._elapsed)
        await self.advance(step)
        return step

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            heapq.heappop(self._sleepers)[2].set()
