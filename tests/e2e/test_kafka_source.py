"""The Kafka source against a real broker: what it reads, commits, shares with its group, and why it is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from imageferry.ports import Sighting
from imageferry.sources.kafka import BATCH
from imageferry.telemetry.metrics import Metrics
from support.events import binary, ready_bytes, ready_event
from support.inbox import Inbox, becomes, running
from support.kafka import (
    PASSWORD,
    USER,
    Broker,
    committed,
    create_topic,
    need_kafka,
    producing,
    send,
    shared_broker,
)
from support.kafka_sources import ids, images, reading


@pytest.fixture
def broker() -> Broker:
    need_kafka()
    return shared_broker()


@pytest.fixture
def name() -> str:
    return f"events-{uuid4().hex}"


# --- what is read ---------------------------------------------------------------------------------------------------


async def test_structured_binary_and_poisoned_messages_are_all_delivered(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    value, headers = binary(ready_event("img-2"))
    async with producing(broker) as producer:
        await producer.send_and_wait(name, ready_bytes("img-1"))
        await producer.send_and_wait(name, b"\xff\xfe", key=b"poison")
        await producer.send_and_wait(name, None, key=b"tombstone")
        await producer.send_and_wait(name, value, headers=headers)
    inbox, source = Inbox(), reading(broker.servers, name)
    async with running(source, inbox):
        await becomes(source.drained)
    assert inbox.ids == ["event-of-img-1", "event-of-img-2"]
    assert [(bad.source, bad.reason) for bad in inbox.unreadable] == [
        (f"kafka:{name}[0]@1", "not UTF-8: byte 0xff at position 0"),
        (f"kafka:{name}[0]@2", "the message is empty"),
    ]


async def test_a_binary_message_that_cannot_be_read_keeps_the_headers_that_say_how_to(
    broker: Broker, name: str
) -> None:
    await create_topic(broker, name)
    value, headers = binary(ready_event("img-1", data__region=None))
    inbox = Inbox()
    await send(broker, name, [value], headers=[*headers, ("authorization", b"a secret of its sender")])
    async with running(reading(broker.servers, name), inbox):
        await inbox.until_count(1)
    [bad] = inbox.unreadable
    assert (bad.reason, bad.body, sorted(bad.headers)) == ("region missing in data", value, sorted(headers))


async def test_a_mapping_names_its_events_by_the_topic(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    mapping = {"cloud": "'tencent'", "region": "place", "image_id": "made", "id": "build"}
    inbox = Inbox()
    await send(broker, name, [b'{"place": "ap-guangzhou", "made": "img-1", "build": 7}'])
    async with running(reading(broker.servers, name, mapping=mapping), inbox):
        await inbox.until_count(1)
    assert inbox.deliveries == [Sighting(f"kafka:{name}", "7", "tencent", None, "ap-guangzhou", "img-1")]


async def test_a_large_message_is_read_and_one_that_is_too_large_is_not(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    large = ready_bytes("img-1", data__image={"note": "x" * 500_000})
    await send(broker, name, [large, b"x" * 1_048_000, ready_bytes("img-2")])
    inbox, source = Inbox(), reading(broker.servers, name)
    async with running(source, inbox):
        await becomes(source.drained)
    assert (inbox.ids, len(inbox.unreadable)) == (["event-of-img-1", "event-of-img-2"], 1)


async def test_a_topic_that_is_empty_is_drained(broker: Broker, name: str) -> None:
    await create_topic(broker, name, 3)
    source = reading(broker.servers, name)
    async with running(source, Inbox()):
        await becomes(source.drained)


async def test_the_lag_is_what_the_intake_keeps_waiting(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    metrics, inbox = Metrics(), Inbox()
    source = reading(broker.servers, name, metrics=metrics)
    inbox.close()
    label = {"source": "kafka", "partition": f"{name}-0"}

    def lag() -> float | None:
        return metrics.registry.get_sample_value("imageferry_source_lag", label)

    more_than_is_held_at_once = 3 * BATCH
    await send(broker, name, images(0, more_than_is_held_at_once))
    async with running(source, inbox):
        await becomes(lambda: (lag() or 0) > 0)
        inbox.open()
        await becomes(lambda: lag() == 0 and source.drained())
    assert lag() is None


# --- what is committed ----------------------------------------------------------------------------------------------


async def test_nothing_is_committed_before_the_intake_returned(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    await send(broker, name, images(0, 10))
    inbox, source = Inbox(), reading(broker.servers, name)
    inbox.close()
    async with running(source, inbox):
        await inbox.until(lambda: inbox.waiting == 1)
        assert await committed(broker, f"group-{name}", name) is None
        inbox.open()
        await becomes(source.drained)
    assert await committed(broker, f"group-{name}", name) == 10


async def test_offsets_are_committed_while_it_runs(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    await send(broker, name, images(0, 10))
    async with running(reading(broker.servers, name), Inbox()):
        async with asyncio.timeout(20):
            while await committed(broker, f"group-{name}", name) != 10:
                pass


async def test_what_a_stopped_source_had_accepted_is_not_read_again(broker: Broker, name: str) -> None:
    await create_topic(broker, name, 3)
    await send(broker, name, images(0, 100))
    for expected in (ids(0, 100), set()):
        inbox, source = Inbox(), reading(broker.servers, name)
        async with running(source, inbox):
            await becomes(source.drained)
        assert set(inbox.ids) == expected


async def test_a_batch_in_flight_at_the_stop_is_let_end_and_committed(broker: Broker, name: str) -> None:
    await create_topic(broker, name)
    await send(broker, name, images(0, 10))
    inbox = Inbox()
    inbox.close()
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(reading(broker.servers, name).run(inbox))
        await inbox.until(lambda: inbox.waiting == 1)
        run.cancel()
        asyncio.get_running_loop().call_soon(inbox.open)
    assert (len(inbox.ids), await committed(broker, f"group-{name}", name)) == (10, 10)


# --- why it does not connect ----------------------------------------------------------------------------------------

LOGIN = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": USER, "sasl_password": PASSWORD}
WRONG = {"sasl_password": "wrong-password"}


def wrong_password(broker: Broker) -> dict[str, Any]:
    return {"bootstrap_servers": broker.at("SASL"), "security_protocol": "SASL_PLAINTEXT", **LOGIN, **WRONG}


def wrong_plain_password(broker: Broker) -> dict[str, Any]:
    return wrong_password(broker) | {"sasl_mechanism": "PLAIN"}


def wrong_ca(broker: Broker) -> dict[str, Any]:
    ca = str(broker.folder / "foreign-ca.pem")
    return {"bootstrap_servers": broker.at("TLS"), "security_protocol": "SSL", "tls": {"ca_file": ca}}


def missing_ca(broker: Broker) -> dict[str, Any]:
    return wrong_ca(broker) | {"tls": {"ca_file": "/no/ca.pem"}}


def dead_broker(broker: Broker) -> dict[str, Any]:
    return {"bootstrap_servers": "127.0.0.1:1"}


def no_login(broker: Broker) -> dict[str, Any]:
    return {"bootstrap_servers": broker.at("SASL")}


def login_without_need(broker: Broker) -> dict[str, Any]:
    return wrong_password(broker) | {"bootstrap_servers": broker.servers}


def tls_on_a_plain_port(broker: Broker) -> dict[str, Any]:
    return wrong_ca(broker) | {"bootstrap_servers": broker.servers}


def unknown_topic(broker: Broker) -> dict[str, Any]:
    return {"bootstrap_servers": broker.servers, "topics": ["no-such-topic"]}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (wrong_password, "the user name or the password is wrong"),
        (wrong_plain_password, "the user name or the password is wrong"),
        (wrong_ca, "the broker's certificate was not accepted; check tls.ca_file"),
        (missing_ca, "tls.ca_file: /no/ca.pem is not there"),
        (dead_broker, "the broker is down or unreachable"),
        (no_login, "the broker closed the connection; a wrong security_protocol, a missing login"),
        (login_without_need, "the broker does not ask for a login on this port"),
        (tls_on_a_plain_port, "the broker takes no connection or does not answer"),
        (unknown_topic, "topic no-such-topic does not exist, or the user may not see it"),
    ],
)
async def test_each_fault_has_its_own_reason_and_shows_no_password(
    broker: Broker, name: str, fault: Callable[[Broker], dict[str, Any]], said: str
) -> None:
    await create_topic(broker, name)
    spec = fault(broker)
    source = reading(spec.pop("bootstrap_servers"), name, **spec)
    async with running(source, Inbox()):
        reason = str(source.health())
    assert said in reason
    assert PASSWORD not in reason
    assert "wrong-password" not in reason


@pytest.mark.parametrize("listener", ["SASL", "TLS", "SASLTLS", "MTLS"])
async def test_it_reads_over_every_kind_of_secured_connection(broker: Broker, name: str, listener: Any) -> None:
    await create_topic(broker, name)
    await send(broker, name, images(0, 3))
    tls = {"ca_file": str(broker.ca_file)} | (
        {"cert_file": str(broker.folder / "client.pem")} if listener == "MTLS" else {}
    )
    secured: dict[str, dict[str, Any]] = {
        "SASL": {"security_protocol": "SASL_PLAINTEXT", **LOGIN},
        "TLS": {"security_protocol": "SSL", "tls": tls},
        "SASLTLS": {"security_protocol": "SASL_SSL", "tls": tls, **LOGIN, "sasl_mechanism": "PLAIN"},
        "MTLS": {"security_protocol": "SSL", "tls": tls},
    }
    inbox, source = Inbox(), reading(broker.at(listener), name, **secured[listener])
    async with running(source, inbox):
        await becomes(source.drained)
        assert (set(inbox.ids), source.health()) == (ids(0, 3), None)


# --- groups ---------------------------------------------------------------------------------------------------------


async def test_two_members_share_the_partitions_and_lose_nothing(broker: Broker, name: str) -> None:
    await create_topic(broker, name, 4)
    await send(broker, name, images(0, 2000))
    one, two = Inbox(), Inbox()
    first, second = reading(broker.servers, name, host="a"), reading(broker.servers, name, host="b")
    async with running(first, one):
        await becomes(first.drained)
        async with running(second, two):
            await becomes(second.drained)
            await becomes(lambda: len(first._offsets.assigned) == len(second._offsets.assigned) == 2)
            await send(broker, name, images(2000, 2000))
            await becomes(lambda: set(one.ids) | set(two.ids) == ids(0, 4000))
    # The first had committed before it gave partitions away: nothing of it was read a second time.
    assert (len(one.ids) + len(two.ids), bool(two.ids)) == (4000, True)


async def test_a_batch_that_is_being_accepted_when_a_member_joins_is_not_read_again(broker: Broker, name: str) -> None:
    await create_topic(broker, name, 4)
    await send(broker, name, images(0, 400))
    one, two = Inbox(), Inbox()
    first, second = reading(broker.servers, name, host="a"), reading(broker.servers, name, host="b")
    one.close()
    async with running(first, one):
        await one.until(lambda: one.waiting == 1)
        async with running(second, two):
            await becomes(lambda: first._offsets.leaving)
            one.open()
            await becomes(lambda: first.drained() and second.drained())
            await becomes(lambda: set(one.ids) | set(two.ids) == ids(0, 400))
    assert len(one.ids) + len(two.ids) == 400


class Killable:
    """The reader program; ``ids`` are those it has printed so far."""

    def __init__(self, broker: Broker, topic: str) -> None:
        program = Path(__file__).with_name("kafka_reader.py")
        command = [sys.executable, str(program), broker.servers, topic, f"group-{topic}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def read(self, count: int) -> list[str]:
        assert self.process.stdout is not None
        found: list[str] = []
        while len(found) < count:
            line = self.process.stdout.readline()
            assert line, "the reader ended"
            if line.startswith("id "):
                found.append(line.removeprefix("id ").strip())
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


async def test_after_a_kill_the_same_member_reads_its_partitions_again_within_three_seconds(
    broker: Broker, name: str
) -> None:
    await create_topic(broker, name, 3)
    await send(broker, name, images(0, 30))
    first = Killable(broker, name)
    try:
        assert set(await asyncio.to_thread(first.read, 30)) == ids(0, 30)
    finally:
        first.kill()
    await send(broker, name, images(30, 30))
    began = time.monotonic()
    second = Killable(broker, name)
    try:
        seen: set[str] = set()
        while not ids(30, 30) <= seen:
            seen.update(await asyncio.to_thread(second.read, 1))
        took = time.monotonic() - began
    finally:
        second.kill()
    assert took < 3.0
