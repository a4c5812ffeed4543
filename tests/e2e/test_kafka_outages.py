"""The Kafka source against real brokers that hang, die and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from structlog.testing import capture_logs

from imageferry.sources.kafka import STUCK_AFTER, _close
from support.inbox import Inbox, becomes, running
from support.kafka import Broker, committed, create_topic, need_kafka, running_broker, send, shared_broker
from support.kafka_sources import HurriedClock, ids, images, reading


@pytest.fixture
def broker() -> Broker:
    need_kafka()
    return shared_broker()


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


@pytest.fixture
def name() -> str:
    return f"events-{uuid4().hex}"


async def test_a_broker_that_comes_only_after_the_start_is_connected_to(own_broker: Broker, name: str) -> None:
    await create_topic(own_broker, name)
    await send(own_broker, name, images(0, 5))
    own_broker.kill()
    inbox, source = Inbox(), reading(own_broker.servers, name)
    async with running(source, inbox):
        assert "down or unreachable" in str(source.health())
        await own_broker.restart()
        await inbox.until_count(5)
        await becomes(lambda: source.health() is None)
    assert set(inbox.ids) == ids(0, 5)


async def test_a_broker_killed_in_mid_run_costs_no_event_and_no_restart(own_broker: Broker, name: str) -> None:
    await create_topic(own_broker, name, 3)
    await send(own_broker, name, images(0, 500))
    inbox, source = Inbox(), reading(own_broker.servers, name)
    async with running(source, inbox):
        await inbox.until_count(500)
        own_broker.kill()
        await becomes(lambda: source.health() is not None)
        await own_broker.restart()
        await send(own_broker, name, images(500, 500))
        await inbox.until(lambda: set(inbox.ids) == ids(0, 1000))
        await becomes(lambda: source.health() is None)
    assert sum([await committed(own_broker, f"group-{name}", name, p) or 0 for p in range(3)]) == 1000


async def test_a_consumer_that_stands_still_before_waiting_messages_is_replaced(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumers: list[AIOKafkaConsumer] = []

    class StandsStill(AIOKafkaConsumer):
        """The first of its kind says for ever that there is nothing, as consumers have done after broker restarts."""

        async def getmany(self, *partitions: Any, **options: Any) -> Any:
            if self not in consumers:
                consumers.append(self)
            if self is consumers[0]:
                await asyncio.sleep(0.01)
                return {}
            return await super().getmany(*partitions, **options)

    monkeypatch.setattr("imageferry.sources.kafka.AIOKafkaConsumer", StandsStill)
    await create_topic(broker, name)
    await send(broker, name, images(0, 10))
    inbox, source = Inbox(), reading(broker.servers, name, clock=HurriedClock())
    with capture_logs() as lines:
        async with running(source, inbox):
            await inbox.until_count(10)
    reasons = [line["reason"] for line in lines if line["event"] == "kafka source is not connected"]
    assert (len(consumers), set(inbox.ids)) == (2, ids(0, 10))
    assert "messages are waiting but none arrive for 60 seconds; connecting anew" in reasons[0]


async def test_a_slow_intake_is_not_taken_for_a_consumer_that_stands_still(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    await send(broker, name, images(0, 5000))
    clock, inbox = HurriedClock(), Inbox()
    source = reading(broker.servers, name, clock=clock)
    inbox.close()
    with capture_logs() as lines:
        async with running(source, inbox):
            await inbox.until(lambda: inbox.waiting == 1)
            waited_since = clock.monotonic()
            await becomes(lambda: clock.monotonic() - waited_since > STUCK_AFTER * 2)
            inbox.open()
            await becomes(source.drained)
    assert [line for line in lines if line["event"] == "kafka source is not connected"] == []


async def test_a_broker_that_hung_for_a_while_is_read_on(own_broker: Broker, name: str) -> None:
    await create_topic(own_broker, name)
    inbox, source = Inbox(), reading(own_broker.servers, name, clock=HurriedClock())
    with capture_logs() as lines:
        async with running(source, inbox):
            await becomes(source.drained)
            own_broker.pause()
            await becomes(lambda: any("nothing was answered" in str(line.get("reason")) for line in lines))
            own_broker.resume()
            await send(own_broker, name, images(0, 10))
            await inbox.until_count(10)
    assert set(inbox.ids) == ids(0, 10)


async def test_a_consumer_that_cannot_stop_itself_leaves_nothing_running(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    before = asyncio.all_tasks()
    consumer = AIOKafkaConsumer(name, bootstrap_servers=broker.servers, group_id=f"group-{name}")
    await consumer.start()
    await consumer._coordinator.close()

    async def fails() -> None:
        raise KafkaError("Unexpected error during coordination")

    consumer._coordinator.close = fails
    await _close(consumer)
    assert asyncio.all_tasks() == before


async def test_a_hung_broker_is_seen_and_does_not_hold_up_the_stop(own_broker: Broker, name: str) -> None:
    await create_topic(own_broker, name)
    source = reading(own_broker.servers, name)
    async with running(source, Inbox()):
        await becomes(source.drained)
        own_broker.pause()
        await becomes(lambda: source.health() is not None)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 15
    own_broker.resume()
