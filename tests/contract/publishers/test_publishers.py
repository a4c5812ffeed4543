"""What flow relies on, asked of every publisher over its real part."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from imageferry.ports import Publisher
from imageferry.publishers.registry import PUBLISHERS
from imageferry.publishers.specs import FileSpec, KafkaSpec, LogSpec
from imageferry.telemetry.clock import SystemClock
from support.completions import row
from support.kafka import create_topic, need_kafka, read_all, shared_broker


@dataclass
class Target:
    """A publisher and the ids that its receiver has, in their order."""

    publisher: Publisher
    received: Callable[[int], Awaitable[list[str]]]


@asynccontextmanager
async def to_file(folder: Path) -> AsyncIterator[Target]:
    path = folder / "completions.ndjson"

    async def received(count: int) -> list[str]:
        return [json.loads(line)["id"] for line in path.read_text().splitlines()]

    async with PUBLISHERS["file"](FileSpec(path=str(path)), "under-test", SystemClock()) as publisher:
        yield Target(publisher, received)


@asynccontextmanager
async def to_log(folder: Path) -> AsyncIterator[Target]:
    with capture_logs() as lines:

        async def received(count: int) -> list[str]:
            return [line["event_id"] for line in lines]

        async with PUBLISHERS["log"](LogSpec(), "under-test", SystemClock()) as publisher:
            yield Target(publisher, received)


@asynccontextmanager
async def to_kafka(folder: Path) -> AsyncIterator[Target]:
    need_kafka()
    broker = shared_broker()
    topic = await create_topic(broker, f"completions-{uuid4().hex}")

    async def received(count: int) -> list[str]:
        return [json.loads(record.value)["id"] for record in await read_all(broker, topic, count)]

    spec = KafkaSpec.model_validate({"bootstrap_servers": broker.servers, "topic": topic})
    async with PUBLISHERS["kafka"](spec, "under-test", SystemClock()) as publisher:
        yield Target(publisher, received)


@pytest.fixture(params=[to_file, to_log, to_kafka], ids=lambda to: to.__name__)
def to(request: pytest.FixtureRequest) -> Any:
    return request.param


To = Callable[[Path], AbstractAsyncContextManager[Target]]


async def test_a_batch_arrives_whole_and_in_its_order(to: To, tmp_path: Path) -> None:
    async with to(tmp_path) as target:
        await target.publisher.publish([row(i) for i in range(50)])
        assert await target.received(50) == [f"job{i}-1" for i in range(50)]


async def test_batches_arrive_one_after_the_other(to: To, tmp_path: Path) -> None:
    async with to(tmp_path) as target:
        for i in range(3):
            await target.publisher.publish([row(i)])
        assert await target.received(3) == ["job0-1", "job1-1", "job2-1"]


async def test_an_empty_batch_is_published_by_doing_nothing(to: To, tmp_path: Path) -> None:
    async with to(tmp_path) as target:
        await target.publisher.publish([])
        await target.publisher.publish([row(7)])
        assert await target.received(1) == ["job7-1"]


async def test_it_keeps_the_name_it_was_given(to: To, tmp_path: Path) -> None:
    async with to(tmp_path) as target:
        assert target.publisher.name == "under-test"
