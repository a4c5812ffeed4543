"""How every loop of flow is driven: step, then rest until it is rung for or its own time comes.

Used by every loop here; knows nothing of what a step does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import anyio

from imageferry.ports import Clock

LONGEST_REST: Final = 5.0
"""Seconds after which an idle loop looks again unasked, so that its heartbeat is seen to move."""


async def heard(event: anyio.Event, seconds: float, clock: Clock) -> None:
    """Wait until ``event`` is set, or for ``seconds``."""
    async with anyio.create_task_group() as group:

        async def time_out() -> None:
            await clock.sleep(seconds)
            group.cancel_scope.cancel()

        group.start_soon(time_out)
        await event.wait()
        group.cancel_scope.cancel()


class Bell:
    """Wakes one loop; remembers a ring that came while nobody listened."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = anyio.Event()

    def ring(self) -> None:
        """There may be work."""
        self._rung.set()

    async def rest(self, seconds: float) -> None:
        """Wait until rung, or for ``seconds``; zero or less only yields."""
        if seconds <= 0:
            await self._clock.sleep(0)
        elif not self._rung.is_set():
            await heard(self._rung, seconds, self._clock)
        if self._rung.is_set():
            self._rung = anyio.Event()


@dataclass
class Stopping:
    """Says to every loop that no new work is to be begun; wakes them to hear it."""

    said: bool = False
    _bells: list[Bell] = field(default_factory=list)

    def bell(self, clock: Clock) -> Bell:
        """A bell that also rings when stopping is said."""
        bell = Bell(clock)
        self._bells.append(bell)
        return bell

    def say(self) -> None:
        """End every loop after its present step."""
        self.said = True
        for bell in self._bells:
            bell.ring()


Step = Callable[[], Awaitable[float]]
"""Does what is due; returns the seconds until it wants to be called again, zero for at once."""


async def drive(step: Step, *, bell: Bell, stopping: Stopping, beat: Callable[[], None]) -> None:
    """Run ``step`` until stopping is said; ``beat`` is called before each."""
    while not stopping.said:
        beat()
        seconds = await step()
        if not stopping.said:
            await bell.rest(min(seconds, LONGEST_REST))
