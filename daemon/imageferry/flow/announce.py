"""Announce: publish the outbox, in order, to every publisher by itself; one that is down never holds up another.

One loop for each publisher. A completion stays in the outbox until its publisher has it safe; it may be published
twice (a crash between the two), always under the same id.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from imageferry.core.pace import back_off
from imageferry.errors import PublishFailed
from imageferry.ports import Clock, Ledger, Publisher
from imageferry.telemetry.metrics import Metrics

BATCH: Final = 500
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 10.0
"""Seconds; no longer than a stop waits for the outbox, so that a publisher which is back is heard of."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Announce:
    """The publishing loop of one publisher; ``everyone`` names all of them."""

    publisher: Publisher
    everyone: Sequence[str]
    ledger: Ledger
    clock: Clock
    metrics: Metrics
    chance: random.Random
    failures: int = field(default=0)
    _again_at: float = field(default=0.0)

    async def step(self) -> float:
        """Publish a batch; returns the seconds until it wants to try again.

        The bell rings for every job that ends; a publisher that is down is spared that until its wait is over.
        """
        waiting = self._again_at - self.clock.monotonic()
        if waiting > 0:
            return waiting
        rows = await self.ledger.pending(self.publisher.name, BATCH)
        if not rows:
            return float("inf")
        try:
            await self.publisher.publish(rows)
        except PublishFailed as error:
            return self._failed(error, len(rows))
        await self.ledger.published(self.publisher.name, [row.seq for row in rows], self.everyone, self.clock.now())
        self._count("ok", len(rows))
        if self.failures:
            log.info("publisher works again", publisher=self.publisher.name)
            self.failures = 0
        return 0.0

    def _failed(self, error: PublishFailed, rows: int) -> float:
        self.failures += 1
        self._count("error", rows)
        wait = back_off(self.failures, FIRST_WAIT, LONGEST_WAIT, self.chance.random())
        self._again_at = self.clock.monotonic() + wait
        log.warning(
            "completions could not be published; they stay in the outbox",
            publisher=self.publisher.name,
            reason=str(error),
            waiting_seconds=round(wait, 1),
        )
        return wait

    def _count(self, outcome: str, rows: int) -> None:
        self.metrics.published_total.labels(publisher=self.publisher.type, outcome=outcome).inc(rows)
