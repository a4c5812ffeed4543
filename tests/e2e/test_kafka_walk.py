"""The whole walk through a real broker: events on a topic, tasks at a rehearsal cloud, completions on another topic."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import anyio
import pytest
from aiokafka import AIOKafkaConsumer

from imageferry.ports import DeadLetter
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.clock import SystemClock
from support.daemons import EXPORT_ALL, House, account, daemon_process
from support.events import binary, ready_event
from support.kafka import Broker, create_topic, need_kafka, producing, running_broker, shared_broker
from support.rehearsals import BUCKET, REGION, image, served, tencent
from support.waiting import until

GOLD = "gold-1250000000"
PARTITIONS = 4

AGAIN = {**EXPORT_ALL, "name": "archive-again", "match": {"cloud": "tencent", "name": "web-*"}}
"""Wants what the first policy wants already."""
EXPORT_GOLD = {
    "name": "gold",
    "match": {"cloud": "tencent", "os": "linux", "name": "gold-*"},
    "actions": [{"export": {"bucket": GOLD, "format": "raw"}}],
}


class Message(NamedTuple):
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


@pytest.fixture
def broker() -> Broker:
    need_kafka()
    return shared_broker()


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


@dataclass(slots=True)
class Walk:
    """A broker's two topics, a rehearsal cloud, and a house between them."""

    broker: Broker
    rehearsal: TencentRehearsal
    house: House
    events: str
    completions: str
    sent: int = field(default=0)

    async def put(self, messages: Sequence[Message]) -> list[str]:
        """Put messages on the topic, one partition after the other; where each one is, as dead letters name it."""
        async with producing(self.broker) as producer:
            futures = []
            for message in messages:
                place = {"partition": self.sent % PARTITIONS, "headers": list(message.headers)}
                futures.append(await producer.send(self.events, message.value, **place))
                self.sent += 1
            metas = [await future for future in futures]
        return [f"kafka:{meta.topic}[{meta.partition}]@{meta.offset}" for meta in metas]

    async def tell(self, image_ids: Sequence[str]) -> None:
        """Put one event about each image on the topic, in both modes by turns."""
        await self.put([told(each, in_headers=bool(number % 2)) for number, each in enumerate(image_ids)])

    def new_images(self, count: int) -> list[str]:
        return [image(self.rehearsal) for _ in range(count)]

    async def announced(self) -> list[dict[str, Any]]:
        """Everything that is on the completions topic now."""
        consumer = AIOKafkaConsumer(self.completions, bootstrap_servers=self.broker.servers)
        await consumer.start()
        try:
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[dict[str, Any]] = []
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    found += [json.loads(record.value) for record in records]
            return found
        finally:
            await consumer.stop()

    async def dead_letters(self) -> list[DeadLetter]:
        async with self.house.reader() as reader:
            return await reader.dead_letters()

    def tasks(self) -> Counter[tuple[str, str]]:
        """(image, destination) -> tasks that the cloud accepted."""
        return Counter((task.image_id, task.destination) for task in self.rehearsal.tasks)

    def looked_at(self, image_id: str) -> bool:
        """Whether the cloud was asked about an image."""
        return any(image_id in request.image_ids for request in self.rehearsal.requests.last)


@asynccontextmanager
async def walking(folder: Path, broker: Broker) -> AsyncIterator[Walk]:
    """Two new topics and a cloud that takes five hundred exports a second."""
    name = uuid4().hex
    events = await create_topic(broker, f"events-{name}", PARTITIONS)
    completions = await create_topic(broker, f"completions-{name}", 2)
    rehearsal = tencent(
        SystemClock(),
        buckets={BUCKET: REGION, GOLD: REGION},
        rates={"ExportImages": 500, "DescribeImages": 500},
        exports_running=None,
        export_seconds=1.0,
    )
    async with served(rehearsal) as url:
        limits = {"export": {"rate": "500/s", "running": 5000}, "read": {"rate": "500/s"}}
        kafka = {"type": "kafka", "bootstrap_servers": broker.servers}
        house = House(
            folder,
            {"prod": account(url, limits=limits, poll={"tasks": "1s", "images": "1s"})},
            policies=[EXPORT_ALL, AGAIN, EXPORT_GOLD],
            sources=[{**kafka, "topics": [events], "group_id": f"group-{name}"}],
            publishers=[{**kafka, "topic": completions}],
        )
        yield Walk(broker, rehearsal, house, events, completions)


def told(image_id: str, *, in_headers: bool) -> Message:
    """The event about an image, in binary or in structured mode."""
    event = ready_event(image_id, data__account=None)
    return Message(*binary(event)) if in_headers else Message(json.dumps(event).encode())


# --- two thousand events --------------------------------------------------------------------------------------------

UNREADABLE = (
    (Message(b'{"specversion": "1.0", "id": "cut o'), "not JSON"),
    (Message(b""), "the message is empty"),
    (Message(b"\xff\xfe\x00"), "not UTF-8"),
    (Message(json.dumps(ready_event(data__cloud="moon")).encode()), "cloud 'moon' is unknown"),
    (Message(*binary(ready_event(data__image_id=None))), "image_id missing in data"),
)


@dataclass(slots=True)
class Crowd:
    """Two thousand messages: one in ten a repeat, one in a hundred unreadable; and what must come of them."""

    messages: list[Message] = field(default_factory=list)
    exports: list[tuple[str, str]] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    """By the number of the message."""

    def gather(self, rehearsal: TencentRehearsal) -> None:
        ids: list[str] = []
        for number in range(2000):
            binary_mode = number % 2 == 0
            if number % 100 == 50:
                message, self.reasons[number] = UNREADABLE[number // 100 % len(UNREADABLE)]
            elif number % 10 == 7:
                message = told(ids[-3], in_headers=binary_mode)
            else:
                ids.append(self._new_image(rehearsal, number))
                message = told(ids[-1], in_headers=binary_mode)
            self.messages.append(message)

    def _new_image(self, rehearsal: TencentRehearsal, number: int) -> str:
        """Of ten: one runs Windows, which no policy wants, and two are wanted at two places."""
        if number % 10 == 3:
            return image(rehearsal, platform="Windows", os_name="Windows Server 2022", name=f"desk-{number}")
        gold = number % 10 in (4, 8)
        image_id = image(rehearsal, name=f"{'gold' if gold else 'web'}-{number}")
        self.exports += [(image_id, BUCKET)] + [(image_id, GOLD)] * gold
        return image_id


async def test_two_thousand_events_end_as_one_task_and_one_completion_per_image_and_destination(
    tmp_path: Path, broker: Broker
) -> None:
    crowd = Crowd()
    async with walking(tmp_path, broker) as walk:
        crowd.gather(walk.rehearsal)
        places = await walk.put(crowd.messages)
        async with daemon_process(walk.house, "--until-idle") as process:
            with anyio.fail_after(150):
                assert await process.wait() == 0, walk.house.log.read_text()[-3000:]
        announced = await walk.announced()
        letters = await walk.dead_letters()
    assert (len(crowd.messages), len(crowd.exports)) == (2000, 1980)
    assert walk.tasks() == Counter(crowd.exports)
    assert Counter((c["type"], c["subject"], c["data"]["destination"]) for c in announced) == Counter(
        ("io.imageferry.job.succeeded", *export) for export in crowd.exports
    )
    assert {letter.source for letter in letters} == {places[number] for number in crowd.reasons}
    assert len(letters) == len(crowd.reasons) == 20
    by_place = {letter.source: letter for letter in letters}
    for number, reason in crowd.reasons.items():
        letter = by_place[places[number]]
        assert reason in letter.reason
        assert letter.body == crowd.messages[number].value


# --- a broker and a daemon that die ---------------------------------------------------------------------------------

OUTAGE = 20.0


async def test_a_broker_that_is_away_for_twenty_seconds_costs_nothing_doubles_nothing_and_asks_for_no_restart(
    tmp_path: Path, own_broker: Broker
) -> None:
    async with walking(tmp_path, own_broker) as walk, daemon_process(walk.house) as process:
        before, unread, after = walk.new_images(300), walk.new_images(600), walk.new_images(100)
        await walk.tell(before)
        await until(lambda: len(walk.rehearsal.tasks) >= 50)
        # Held for a moment, so that the broker dies with messages that were not read.
        process.send_signal(signal.SIGSTOP)
        # A question that it had asked before is still answered with some of the first three hundred.
        await walk.tell(unread[:300])
        await walk.tell(unread[300:])
        own_broker.kill()
        process.send_signal(signal.SIGCONT)
        back_at = time.monotonic() + OUTAGE
        await until(lambda: {(each, BUCKET) for each in before} <= walk.tasks().keys())
        await until(lambda: time.monotonic() >= back_at, within=OUTAGE + 1)
        assert len(walk.tasks()) < len(before) + len(unread)
        await own_broker.restart()
        await walk.tell([*before[:30], *after])
        everything = {*before, *unread, *after}

        async def all_announced() -> bool:
            return {c["subject"] for c in await walk.announced()} == everything

        await until(all_announced, within=60)
        assert process.returncode is None
        announced = await walk.announced()
    assert walk.tasks() == Counter((each, BUCKET) for each in everything)
    assert Counter(c["subject"] for c in announced) == Counter(everything)
    assert {c["type"] for c in announced} == {"io.imageferry.job.succeeded"}


async def test_after_a_kill_a_restarted_daemon_reads_its_partitions_again_within_three_seconds(
    tmp_path: Path, broker: Broker
) -> None:
    async with walking(tmp_path, broker) as walk:
        before, after = walk.new_images(PARTITIONS), walk.new_images(PARTITIONS)
        async with daemon_process(walk.house) as process:
            await walk.tell(before)
            await until(lambda: all(map(walk.looked_at, before)))
            process.kill()
            await process.wait()
        await walk.tell(after)
        restarted = time.monotonic()
        async with daemon_process(walk.house):
            await until(lambda: all(map(walk.looked_at, after)), within=30)
            took = time.monotonic() - restarted
    assert took < 3.0
