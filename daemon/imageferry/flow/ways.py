"""Work that goes on beside a loop, one piece at a time for each destination, so that none waits for a slow one.

The loops that follow tasks and solve doubts start their requests here. A destination that is under way is left out of
what falls due until its work is done; then the loop is rung for. It starts nothing by itself and catches nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from anyio.abc import TaskGroup

from imageferry.core.job import Job
from imageferry.flow.drive import Bell
from imageferry.telemetry.liveness import Heartbeats

BESIDE: Final = 1.0
"""Seconds until a loop looks again for what has fallen due, while work of other destinations goes on."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The destinations of one loop."""

    group: TaskGroup
    """Outlives the loop's steps."""
    bell: Bell
    """The loop's own."""
    name: str
    """The loop's own."""
    beats: Heartbeats
    """Work that does not end is a loop that has stopped moving."""
    under_way: set[str] = field(default_factory=set)

    def start(self, jobs: Sequence[Job], work: Callable[[Sequence[Job]], Awaitable[None]]) -> None:
        """Begin ``work`` on the jobs of each destination."""
        for destination in dict.fromkeys(job.destination for job in jobs):
            self.under_way.add(destination)
            here = [job for job in jobs if job.destination == destination]
            self.group.start_soon(self._go, destination, here, work, name=f"{len(here)} jobs to {destination}")

    async def _go(
        self, destination: str, jobs: Sequence[Job], work: Callable[[Sequence[Job]], Awaitable[None]]
    ) -> None:
        name = f"{self.name} to {destination}"
        self.beats.beat(name)
        try:
            await work(jobs)
        finally:
            self.beats.forget(name)
            self.under_way.discard(destination)
            self.bell.ring()
