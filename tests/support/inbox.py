"""An intake for tests of sources: keeps what it is given and says, by real events, when enough has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from imageferry.ports import Delivery, EventSource, Sighting, Unreadable


class Inbox:
    """Accepts at once, or, while it is ``closed``, holds every batch until it is opened."""

    def __init__(self) -> None:
        self.batches: list[list[Delivery]] = []
        self.types: set[str] = set()
        self.waiting = 0
        self._open = anyio.Event()
        self._open.set()
        self._changed = anyio.Event()

    @property
    def deliveries(self) -> list[Delivery]:
        return [one for batch in self.batches for one in batch]

    @property
    def sightings(self) -> list[Sighting]:
        return [one for one in self.deliveries if isinstance(one, Sighting)]

    @property
    def ids(self) -> list[str]:
        return [one.event_id for one in self.sightings]

    @property
    def image_ids(self) -> list[str]:
        return [one.image_id for one in self.sightings]

    @property
    def unreadable(self) -> list[Unreadable]:
        return [one for one in self.deliveries if isinstance(one, Unreadable)]

    async def __call__(self, batch: Sequence[Delivery], /, *, source_type: str) -> None:
        self.waiting += 1
        self._tell()
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1
        self.batches.append(list(batch))
        self.types.add(source_type)
        self._tell()

    def close(self) -> None:
        self._open = anyio.Event()

    def open(self) -> None:
        self._open.set()

    async def until(self, true: Callable[[], bool], within: float = 30.0) -> None:
        """Wait for something about this inbox to become true; fails after ``within`` seconds."""
        with anyio.fail_after(within):
            while not true():
                await self._changed.wait()

    async def until_count(self, count: int) -> None:
        await self.until(lambda: len(self.deliveries) >= count)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def running(source: EventSource, accept: Inbox) -> AsyncIterator[None]:
    """Run a source for the length of the block."""
    async with anyio.create_task_group() as tasks:
        await tasks.start(source.run, accept)
        yield
        tasks.cancel_scope.cancel()


async def becomes(true: Callable[[], bool], within: float = 30.0) -> None:
    """Wait until a real part has brought something about, which it does not announce."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 - the real part has no event to wait for
            await asyncio.sleep(0.01)
