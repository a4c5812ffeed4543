"""Announcing: in order, to each publisher by itself, at least once, always under the same id."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from imageferry.errors import PublishFailed
from imageferry.flow.announce import LONGEST_WAIT, Announce
from imageferry.ports import OutboxRow
from support.ledgers import job_in
from support.stages import Stage, staged


class Shelf:
    """A publisher that keeps what it is given; while it is down it takes nothing."""

    type = "file"

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = False
        self.taken: list[str] = []

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        if self.down:
            raise PublishFailed("the disk is full")
        self.taken += [row.event_id for row in rows]


def announcing(stage: Stage, publisher: Shelf, *others: str) -> Announce:
    everyone = [publisher.name, *others]
    return Announce(publisher, everyone, stage.ledger, stage.clock, stage.metrics, random.Random(1))


async def ended(stage: Stage, count: int = 3) -> list[str]:
    """So many jobs that have ended; the ids of their completions, in order."""
    jobs = [await job_in(stage.ledger, "succeeded", f"img-{number}") for number in range(count)]
    return [f"{job.id}-1" for job in jobs]


async def test_completions_are_published_in_order_and_then_the_loop_rests(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        ids = await ended(stage)
        shelf = Shelf("file")
        loop = announcing(stage, shelf)
        assert [await loop.step(), await loop.step()] == [0.0, float("inf")]
        assert (shelf.taken, await stage.ledger.outbox_size()) == (ids, 0)


async def test_a_publisher_that_is_down_keeps_everything_in_the_outbox(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        ids = await ended(stage)
        shelf = Shelf("file")
        shelf.down = True
        loop = announcing(stage, shelf)
        waits = []
        for _ in range(12):
            waits.append(await loop.step())
            stage.clock.jump(waits[-1] + 0.001)
        assert waits[0] <= 0.5
        assert max(waits) <= LONGEST_WAIT
        assert (loop.failures, await stage.ledger.outbox_size()) == (12, 3)
        shelf.down = False
        await loop.step()
        assert (shelf.taken, loop.failures, await stage.ledger.outbox_size()) == (ids, 0, 0)


async def test_a_publisher_that_is_down_is_not_tried_before_its_wait_is_over_however_often_the_loop_is_woken(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        await ended(stage)
        shelf = Shelf("file")
        shelf.down = True
        loop = announcing(stage, shelf)
        wait = await loop.step()
        assert [await loop.step() for _ in range(5)] == [pytest.approx(wait)] * 5
        assert loop.failures == 1


async def test_one_publisher_that_is_down_never_holds_up_another(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        ids = await ended(stage)
        up, down = Shelf("file"), Shelf("kafka")
        down.down = True
        assert await announcing(stage, down, "file").step() > 0
        await announcing(stage, up, "kafka").step()
        assert (up.taken, await stage.ledger.outbox_size()) == (ids, 3)
        down.down = False
        await announcing(stage, down, "file").step()
        assert (up.taken, down.taken, await stage.ledger.outbox_size()) == (ids, ids, 0)


async def test_a_crash_between_publishing_and_marking_repeats_the_same_ids(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        ids = await ended(stage)
        shelf = Shelf("file")
        await shelf.publish(await stage.ledger.pending("file", 500))
        await announcing(stage, shelf).step()
        assert shelf.taken == ids * 2


async def test_outcomes_are_counted_by_completion(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await ended(stage)
        shelf = Shelf("file")
        shelf.down = True
        loop = announcing(stage, shelf)
        stage.clock.jump(await loop.step() + 0.001)
        shelf.down = False
        await loop.step()
        text = stage.metrics.exposition().decode()
        assert 'imageferry_published_total{outcome="error",publisher="file"} 3.0' in text
        assert 'imageferry_published_total{outcome="ok",publisher="file"} 3.0' in text
