"""How fast events are taken in from Kafka, beside two bare loops over the same topic of the same broker.

The bare loop parses each message as JSON and commits each batch; the second one also writes every event to SQLite
first, as durably as the ledger does. The whole intake is the daemon's own: source, codec, recorder, ledger. Each
reader is a group of its own, and they take turns. A rate counts from the first batch that is done to the last.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
from aiokafka import AIOKafkaConsumer

from bench.report import Row, Size, at_least
from bench.town import event, house
from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import READERS
from imageferry.core.policy import PolicySet
from imageferry.flow.intake import Directory, Recorder
from imageferry.ledgers.sqlite import open_ledger
from imageferry.policies import PolicyBook
from imageferry.ports import Delivery, Intake
from imageferry.settings import load
from imageferry.sources.kafka import BATCH, KafkaSource
from imageferry.sources.specs import KafkaSpec
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.metrics import Metrics
from support.kafka import Broker, create_topic, producing

PARTITIONS = 6
AIM = 0.5
WITHIN = 300.0
BATCHES = 4
"""At the least: a rate begins when the first batch is done."""
PARALLEL_SENDS = 5_000


class Meter:
    """Counts what is done; ``rate`` is that of everything after the first batch."""

    def __init__(self, wanted: int) -> None:
        self.full = anyio.Event()
        self._wanted = wanted
        self._first = 0
        self._count = 0
        self._began = self._ended = 0.0

    def add(self, count: int) -> None:
        self._ended = time.perf_counter()
        if not self._count:
            self._first, self._began = count, self._ended
        self._count += count
        if self._count >= self._wanted:
            self.full.set()

    @property
    def rate(self) -> float:
        return (self._count - self._first) / max(self._ended - self._began, 1e-9)


async def measure(size: Size, broker: Broker, folder: Path) -> list[Row]:
    """The whole intake against both loops."""
    count = max(size.events, BATCHES * BATCH)
    topic = await filled_topic(broker, count)
    gc.collect()
    gc.freeze()  # as the daemon does when it starts; to the good of every reader
    try:
        with anyio.fail_after(WITHIN):
            rates = [await _round(broker, topic, count, folder / f"round-{n}") for n in range(size.rounds)]
    finally:
        gc.unfreeze()
    bare, stored, intake = (statistics.median(column) for column in zip(*rates, strict=True))
    return [
        at_least("intake from Kafka, 100 policies, to bare loop", intake, bare, "events/s", AIM),
        at_least("intake from Kafka, to loop that stores in SQLite", intake, stored, "events/s"),
        at_least("loop that stores in SQLite, to bare loop", stored, bare, "events/s"),
    ]


async def _round(broker: Broker, topic: str, count: int, folder: Path) -> tuple[float, float, float]:
    folder.mkdir(parents=True)
    return (
        await bare_loop(broker, topic, count, None),
        await bare_loop(broker, topic, count, folder / "loop.db"),
        await whole_intake(broker, topic, count, folder),
    )


async def filled_topic(broker: Broker, count: int) -> str:
    """A new topic that holds so many events."""
    topic = await create_topic(broker, f"bench-{uuid4().hex}", PARTITIONS)
    async with producing(broker) as producer:
        waiting = []
        for number in range(count):
            waiting.append(await producer.send(topic, event(number)))
            if len(waiting) == PARALLEL_SENDS:
                for sent in waiting:
                    await sent
                waiting.clear()
        for sent in waiting:
            await sent
    return topic


# --- the loops that it is compared with ------------------------------------------------------------------------------


async def bare_loop(broker: Broker, topic: str, count: int, database: Path | None) -> float:
    """Events a second of a loop that does nothing but read, parse, perhaps store, and commit."""
    meter = Meter(count)
    store = None if database is None else Store(database)
    async with consuming(broker, topic) as consumer:
        while not meter.full.is_set():
            fetched = await consumer.getmany(timeout_ms=200, max_records=BATCH)
            parsed = [json.loads(message.value) for messages in fetched.values() for message in messages]
            if parsed:
                if store is not None:
                    await anyio.to_thread.run_sync(store.write, parsed)
                await consumer.commit({tp: messages[-1].offset + 1 for tp, messages in fetched.items()})
                meter.add(len(parsed))
    if store is not None:
        store.close()
    return meter.rate


@asynccontextmanager
async def consuming(broker: Broker, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.servers,
        group_id=f"bench-{uuid4().hex}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


class Store:
    """One table and one transaction a batch, with the ledger's settings."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE events (source TEXT, id TEXT, body TEXT, PRIMARY KEY (source, id))")

    def write(self, batch: Sequence[Mapping[str, Any]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?)",
            [(one["source"], one["id"], one["data"]["image_id"]) for one in batch],
        )
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


# --- the daemon's own intake ------------------------------------------------------------------------------------------


async def whole_intake(broker: Broker, topic: str, count: int, folder: Path) -> float:
    """Events a second that the daemon's own parts record durably, as the app connects them."""
    town = house(folder / "town")
    settings = load(town.config, {})
    clock, metrics, meter = SystemClock(), Metrics(), Meter(count)
    policies = PolicyBook(settings.policies, FACTS).current
    group = f"bench-{uuid4().hex}"
    spec = KafkaSpec.model_validate({"bootstrap_servers": broker.servers, "topics": [topic], "group_id": group})
    observe = metrics.ledger_commit_seconds.observe
    async with open_ledger(settings.ledger_url, clock=clock, observe=observe) as ledger:
        recorder = Recorder(
            Directory(settings.accounts), _always(policies), ledger, clock, metrics, ring=lambda _place: None
        )
        source = KafkaSource(spec, "kafka", READERS, clock, metrics)
        async with anyio.create_task_group() as tasks:
            await tasks.start(source.run, _metered(recorder, meter))
            await meter.full.wait()
            tasks.cancel_scope.cancel()
        looks, _ = await ledger.open_work()
    if looks != count:
        raise AssertionError(f"{count} events were sent and {looks} images are due to be looked at")
    return meter.rate


def _always(policies: PolicySet) -> Any:
    return lambda: policies


def _metered(recorder: Recorder, meter: Meter) -> Intake:
    async def accept(batch: Sequence[Delivery], /, *, source_type: str) -> None:
        await recorder(batch, source_type=source_type)
        meter.add(len(batch))

    return accept
