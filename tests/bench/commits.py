"""What the ledger's thread, savepoints and grouping cost, beside bare sqlite3 that writes the same rows as durably."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from bench.report import Row, Size, at_least
from bench.town import image_id, region
from imageferry.core.image import Place
from imageferry.ledgers.intake import record
from imageferry.ledgers.script import drive
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ledgers.writer import GROUP, execute
from imageferry.ports import Admitted, Ledger, Sighting
from imageferry.telemetry.clock import SystemClock

ROUNDS = 3


async def measure(size: Size, folder: Path) -> list[Row]:
    """One commit after the other, and as many calls at once as one commit takes."""
    folder.mkdir(parents=True)
    single: list[tuple[float, float]] = []
    grouped: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        ours, bare = folder / f"ledger-{number}.db", folder / f"bare-{number}.db"
        async with open_ledger(f"sqlite://{bare}", clock=SystemClock()):
            pass  # the same tables for both
        async with open_ledger(f"sqlite://{ours}", clock=SystemClock()) as ledger:
            single.append((await _one_by_one(ledger, size.commits), _bare(bare, size.commits, 1)))
            grouped.append((await _at_once(ledger, size.calls), _bare(bare, size.calls, GROUP)))
    return [
        _row("ledger, one commit after the other, to bare sqlite3", single),
        _row(f"ledger, {GROUP} calls at once, to bare sqlite3", grouped),
    ]


def _row(what: str, rates: Sequence[tuple[float, float]]) -> Row:
    ours, bare = (statistics.median(column) for column in zip(*rates, strict=True))
    return at_least(what, ours, bare, "calls/s")


def _sighting(run: str, number: int) -> Admitted:
    place = Place("tencent", "prod", region(number))
    said = Sighting("/bench", f"{run}-{number}", place.cloud, place.account, place.region, image_id(number))
    return Admitted(said, place)


async def _one_by_one(ledger: Ledger, count: int) -> float:
    began = time.perf_counter()
    for number in range(count):
        await ledger.record([_sighting("single", number)], number)
    return count / (time.perf_counter() - began)


async def _at_once(ledger: Ledger, count: int) -> float:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await ledger.record([_sighting("grouped", number)], number)

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(GROUP):
            group.start_soon(caller)
    return count / (time.perf_counter() - began)


def _bare(path: Path, count: int, group: int) -> float:
    """The same statements, so many calls a transaction, without thread, queue or savepoint."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -16000")
    try:
        began = time.perf_counter()
        _write(lambda sql, params=(): execute(connection, sql, params), count, group)
        return count / (time.perf_counter() - began)
    finally:
        connection.close()


def _write(run: Callable[..., Sequence[tuple[object, ...]]], count: int, group: int) -> None:
    for start in range(0, count, group):
        run("BEGIN IMMEDIATE")
        for number in range(start, min(start + group, count)):
            drive(record([_sighting(f"bare-{group}", number)], number), run)
        run("COMMIT")
