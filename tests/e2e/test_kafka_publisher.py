"""The Kafka publisher against real brokers that refuse, die and come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from imageferry.errors import PublishFailed
from imageferry.publishers import kafka
from imageferry.publishers.kafka import KafkaPublisher
from imageferry.publishers.specs import KafkaSpec
from imageferry.telemetry.clock import SystemClock
from support.completions import row
from support.kafka import PASSWORD, USER, Broker, create_topic, need_kafka, read_all, running_broker, shared_broker


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
    return f"completions-{uuid4().hex}"


def writing(servers: str, topic: str, **more: Any) -> KafkaPublisher:
    spec = KafkaSpec.model_validate({"bootstrap_servers": servers, "topic": topic, **more})
    return KafkaPublisher(spec, "kafka", SystemClock())


async def test_the_message_is_the_structured_event_keyed_by_its_image(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    async with writing(broker.servers, name).open() as publisher:
        await publisher.publish([row(1, "img-7")])
    [record] = await read_all(broker, name, 1)
    assert (record.key, json.loads(record.value), dict(record.headers)) == (
        b"img-7",
        json.loads(row(1, "img-7").body),
        {"content-type": b"application/cloudevents+json; charset=UTF-8"},
    )


async def test_completions_of_one_image_keep_their_order_over_partitions_and_batches(broker: Broker, name: str) -> None:
    await create_topic(broker, name, 3)
    async with writing(broker.servers, name).open() as publisher:
        for start in range(0, 60, 20):
            await publisher.publish([row(i, f"img-{i % 5}") for i in range(start, start + 20)])
    records = await read_all(broker, name, 60)
    of_one = [json.loads(record.value)["id"] for record in records if record.key == b"img-3"]
    assert of_one == [f"job{i}-1" for i in range(3, 60, 5)]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": USER,
                "sasl_password": PASSWORD + "-not",
            },
            "the user name or the password is wrong",
        ),
        ({"security_protocol": "SSL"}, "the broker's certificate was not accepted"),
        ({"security_protocol": "SSL", "tls": {"ca_file": "/no/ca.pem"}}, "tls.ca_file: /no/ca.pem is not there"),
        ({}, "the broker is down or unreachable"),
    ],
)
async def test_each_fault_has_its_own_reason_and_shows_no_password(
    broker: Broker, name: str, fault: dict[str, Any], said: str
) -> None:
    listener: dict[str, Any] = {"SASL_PLAINTEXT": "SASL", "SSL": "TLS"}
    servers = broker.at(listener[fault["security_protocol"]]) if fault else "127.0.0.1:1"
    async with writing(servers, name, **fault).open() as publisher:
        with pytest.raises(PublishFailed) as caught:
            await publisher.publish([row(1)])
    assert said in str(caught.value)
    assert PASSWORD not in str(caught.value)


async def test_a_topic_that_is_not_there_is_named(broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_REQUEST_MS", 500)
    async with writing(broker.servers, name).open() as publisher:
        with pytest.raises(PublishFailed, match=f"topic {name} does not exist"):
            await publisher.publish([row(1)])
        await create_topic(broker, name)
        await publisher.publish([row(2)])
    assert len(await read_all(broker, name, 1)) == 1


async def test_a_broker_that_was_away_at_the_first_try_is_written_to_at_the_next(own_broker: Broker, name: str) -> None:
    await create_topic(own_broker, name)
    own_broker.kill()
    async with writing(own_broker.servers, name).open() as publisher:
        with pytest.raises(PublishFailed, match="down or unreachable"):
            await publisher.publish([row(1)])
        await own_broker.restart()
        await publisher.publish([row(1)])
    assert len(await read_all(own_broker, name, 1)) == 1


async def test_a_publish_begun_while_the_broker_was_killed_ends_when_it_is_back(own_broker: Broker, name: str) -> None:
    await create_topic(own_broker, name)
    async with writing(own_broker.servers, name).open() as publisher:
        await publisher.publish([row(1)])
        own_broker.kill()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publisher.publish([row(2), row(3)]))
            tasks.create_task(own_broker.restart())
    found = [json.loads(record.value)["id"] for record in await read_all(own_broker, name, 3)]
    assert found == ["job1-1", "job2-1", "job3-1"]


async def test_a_hung_broker_makes_publish_fail_in_bounded_time_and_the_next_one_go_well(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_SEND_WITHIN", 0.5)
    await create_topic(own_broker, name)
    async with writing(own_broker.servers, name).open() as publisher:
        await publisher.publish([row(1)])
        own_broker.pause()
        with pytest.raises(PublishFailed, match="Kafka at"):
            await publisher.publish([row(2)])
        own_broker.resume()
        monkeypatch.setattr(kafka, "_SEND_WITHIN", 20.0)
        await publisher.publish([row(2)])
    found = {json.loads(record.value)["id"] for record in await read_all(own_broker, name, 2)}
    assert found == {"job1-1", "job2-1"}


async def test_a_hung_broker_does_not_hold_up_the_stop(
    own_broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_SEND_WITHIN", 0.2)
    await create_topic(own_broker, name)
    async with asyncio.timeout(25):
        async with writing(own_broker.servers, name).open() as publisher:
            await publisher.publish([row(1)])
            own_broker.pause()
            with pytest.raises(PublishFailed):
                await publisher.publish([row(2)])
    own_broker.resume()
