"""The polling source: asks every account and region for its images, and tells of those that nobody told of.

The app builds it through the registry and runs it. A region's first round only takes stock; what it holds stands in
the ledger afterwards, so that a restart goes on where it was. Every region has a task of its own: one that hangs or is
closed off delays no other. It decides nothing about images, not even whether they are ready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus

from imageferry.core.image import Image, Place
from imageferry.core.times import SECOND, rfc3339
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Intake, Partly, Sighting, own_images
from imageferry.sources.specs import PollingSpec
from imageferry.sources.stock import ENDED, Stock
from imageferry.sources.surroundings import Surroundings, Watched

FIRST_RETRY: Final = 10.0
"""Seconds after which a region that could not be listed is asked again; doubles up to the usual time."""
_MOST_DOUBLINGS: Final = 30
_Accept = Callable[[Sequence[Sighting]], Awaitable[None]]


class PollingSource:
    """Asks for new images; see :class:`imageferry.ports.EventSource`."""

    type = "polling"
    finite = False

    def __init__(self, spec: PollingSpec, name: str, around: Surroundings) -> None:
        self.name = name
        self._patrols = [_Patrol(spec, f"{name}/{one.account}/{one.region}", one, around) for one in around.watched]
        self._one_at_a_time = anyio.Lock()

    def health(self) -> str | None:
        """None when every region was listed in its last round; else which were not, and why."""
        troubles = [patrol.trouble for patrol in self._patrols if patrol.trouble is not None]
        if not troubles:
            return None
        text = "; ".join(troubles)
        return text if len(troubles) == len(self._patrols) else Partly(text)

    def drained(self) -> bool:
        """Whether every region has been listed to its end once."""
        return all(patrol.listed for patrol in self._patrols)

    async def run(self, accept: Intake, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ask until cancelled."""

        async def in_turn(batch: Sequence[Sighting]) -> None:
            async with self._one_at_a_time:
                await accept(batch, source_type=self.type)

        async with anyio.create_task_group() as group:
            for patrol in self._patrols:
                group.start_soon(patrol.walk, in_turn, name=patrol.cursor)
            task_status.started()


class _Patrol:
    """The rounds of one account's region."""

    def __init__(self, spec: PollingSpec, cursor: str, watched: Watched, around: Surroundings) -> None:
        self.cursor = cursor
        self.trouble: str | None = None
        self.listed = False
        """Whether a round came to its end in this run."""
        self._every = spec.every
        self._reach = round((spec.since or 0.0) * SECOND)
        self._watched = watched
        self._place = Place(watched.cloud.facts.name, watched.account, watched.region)
        self._clock = around.clock
        self._fresh_at = around.clock.monotonic()
        self._stock: Stock | None = None
        self._written = ""
        self._log = structlog.get_logger(__name__).bind(account=watched.account, region=watched.region)
        lag = around.metrics.source_lag.labels(PollingSource.type, f"{watched.account}/{watched.region}")
        lag.set_function(lambda: self._clock.monotonic() - self._fresh_at)

    async def walk(self, accept: _Accept) -> None:
        """Round after round; after one that failed the next comes sooner."""
        text = await self._watched.ledger.cursor(self.cursor)
        if text is not None:
            self._stock, self._written = Stock.read(text), text
        failures = 0
        while True:
            began = self._clock.monotonic()
            failures = 0 if await self._round(accept) else failures + 1
            retry = FIRST_RETRY * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
            wait = min(self._every, retry) if failures else self._every
            await self._clock.sleep(max(0.0, began + wait - self._clock.monotonic()))

    async def _round(self, accept: _Accept) -> bool:
        """List the region once, as far as its pages can be read; whether that was to the end."""
        began, began_at = self._clock.monotonic(), self._clock.now()
        listed: set[str] = set()
        trouble = None
        try:
            async with aclosing(own_images(self._watched.cloud, self._watched.region)) as pages:
                async for images in pages:
                    await self._announce(self._begun(began_at).news(images), accept)
                    listed |= {image.id for image in images if image.state not in ENDED}
        except (Refused, CircuitOpen) as error:
            trouble = f"{self._watched.account}/{self._watched.region} could not be listed: {error}"
        self._say(trouble)
        await self._remember(self._begun(began_at), listed, complete=trouble is None)
        if trouble is None:
            self._fresh_at, self.listed = began, True
        return trouble is None

    def _begun(self, began_at: int) -> Stock:
        """The region's stock; the first round sets how far back news reaches, by a clock that an answer has told."""
        if self._stock is None:
            reaches_to = self._watched.cloud.vendor_time(began_at) - self._reach
            self._stock = Stock(reaches_to - reaches_to % SECOND)
        return self._stock

    async def _announce(self, news: Sequence[Image], accept: _Accept) -> None:
        """Tell of those that the ledger does not know from events."""
        if not news:
            return
        told = await self._watched.ledger.told(self._place, [image.id for image in news])
        batch = [self._sighting(image) for image in news if image.id not in told]
        if batch:
            self._log.info("images that no event told of", images=len(batch))
            await accept(batch)

    def _sighting(self, image: Image) -> Sighting:
        """The same for every repeat, so that the ledger drops it."""
        source = f"/imageferry/polling/{self._place.cloud}/{self._place.account}/{self._place.region}"
        made = "" if image.created_at is None else f"@{rfc3339(image.created_at)}"
        return Sighting(source, f"{image.id}{made}", *self._place, image.id)

    async def _remember(self, stock: Stock, listed: set[str], *, complete: bool) -> None:
        first = stock.ids is None and complete
        stock.close_round(listed, self._clock.now(), complete=complete)
        if first:
            self._log.info("took stock; what is there already is backfill's affair", images=len(listed))
        text = stock.written()
        if text != self._written:
            await self._watched.ledger.set_cursor(self.cursor, text, self._clock.now())
            self._written = text

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            self._log.warning("a region could not be listed to its end", reason=trouble)
        self.trouble = trouble
