"""What flow relies on, asked of every source over its real part."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import anyio
import httpx
import pytest

from imageferry.clouds.registry import CLOUDS
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ports import Delivery, EventSource
from imageferry.rehearsal.options import RATES
from imageferry.sources.registry import SOURCES
from imageferry.sources.specs import FileSpec, KafkaSpec, PollingSpec, WebhookSpec
from imageferry.sources.surroundings import Surroundings, Watched
from imageferry.sources.webhook import WebhookSource
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.events import ready_bytes
from support.gates import OpenGate
from support.inbox import Inbox, becomes, running
from support.kafka import create_topic, need_kafka, send, shared_broker
from support.rehearsals import REGION, image, served, tencent
from support.webhooks import JSON, SECRET, bearer


@dataclass(slots=True)
class Feed:
    """A source with something before it. ``drained`` says whether all of it was taken."""

    source: EventSource
    drained: Callable[[], bool]
    keeps_unreadable: bool = True

    @classmethod
    def finite(cls, source: EventSource) -> Feed:
        return cls(source, source.drained)


class Fed(Protocol):
    """A source with these lines before it."""

    def __call__(self, lines: Sequence[bytes], folder: Path) -> AbstractAsyncContextManager[Feed]: ...


def around(*watched: Watched) -> Surroundings:
    return Surroundings([], SystemClock(), Metrics(), watched)


@asynccontextmanager
async def fed_file(lines: Sequence[bytes], folder: Path) -> AsyncIterator[Feed]:
    path = folder / "events.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    yield Feed.finite(SOURCES["file"](FileSpec(path=str(path)), "under-test", around()))


@asynccontextmanager
async def fed_standard_input(lines: Sequence[bytes], folder: Path) -> AsyncIterator[Feed]:
    path = folder / "redirected"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    kept, reader = os.dup(0), os.open(path, os.O_RDONLY)
    os.dup2(reader, 0)
    try:
        yield Feed.finite(SOURCES["file"](FileSpec(path="-"), "under-test", around()))
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reader)


@asynccontextmanager
async def fed_kafka(lines: Sequence[bytes], folder: Path) -> AsyncIterator[Feed]:
    need_kafka()
    broker = shared_broker()
    topic = await create_topic(broker, f"events-{uuid4().hex}", 2)
    await send(broker, topic, lines)
    spec = {"bootstrap_servers": broker.servers, "topics": [topic], "group_id": f"group-{topic}"}
    yield Feed.finite(SOURCES["kafka"](KafkaSpec.model_validate(spec), "under-test", around()))


@asynccontextmanager
async def fed_polling(lines: Sequence[bytes], folder: Path) -> AsyncIterator[Feed]:
    """A cloud that holds an image for each line, and no events at all."""
    clock = SystemClock()
    rehearsal = tencent(clock, rates=dict.fromkeys(RATES))
    for line in lines:
        image(rehearsal, image_id=json.loads(line)["data"]["image_id"])
    async with served(rehearsal) as url, open_ledger(f"sqlite://{folder}/ledger.db", clock=clock) as ledger:
        cloud = CLOUDS["tencent"](tencent_account(url), OpenGate(), clock, Metrics())
        spec = PollingSpec.model_validate({"every": "1h", "since": "1h"})
        yield Feed.finite(SOURCES["polling"](spec, "under-test", around(Watched("prod", REGION, cloud, ledger))))
        await cloud.aclose()


@asynccontextmanager
async def fed_webhook(lines: Sequence[bytes], folder: Path) -> AsyncIterator[Feed]:
    """Eight senders, each with a connection of its own, that come again as long as they are told to."""
    spec = WebhookSpec.model_validate({"listen": "127.0.0.1:0", "secret": SECRET})
    source = SOURCES["webhook"](spec, "under-test", around())
    assert isinstance(source, WebhookSource)
    waiting = list(reversed(lines))
    answered = 0

    async def send() -> None:
        nonlocal answered
        await becomes(lambda: source.address is not None)
        url = "http://{}:{}/events".format(*(source.address or ()))
        # a source that has ended lets go of its senders, as any server does
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
                while waiting:
                    line = waiting.pop()
                    answer = await client.post(url, content=line, headers={**bearer(), "content-type": JSON})
                    assert answer.status_code in {202, 400, 503}
                    answered += answer.status_code != 503

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(send)
        yield Feed(source, lambda: answered == len(lines), keeps_unreadable=False)
        group.cancel_scope.cancel()


DELIVERING = [fed_file, fed_standard_input, fed_kafka, fed_webhook]


@pytest.fixture(params=DELIVERING, ids=lambda fed: fed.__name__)
def fed_bytes(request: pytest.FixtureRequest) -> Fed:
    """The sources that are handed bytes."""
    found: Fed = request.param
    return found


@pytest.fixture(params=[*DELIVERING, fed_polling], ids=lambda fed: fed.__name__)
def fed(request: pytest.FixtureRequest) -> Fed:
    found: Fed = request.param
    return found


LINES = [ready_bytes(f"img-{i}") for i in range(20)]


async def test_it_delivers_every_event_once_and_is_then_drained(fed: Fed, tmp_path: Path) -> None:
    inbox = Inbox()
    async with fed(LINES, tmp_path) as feed, running(feed.source, inbox):
        await becomes(feed.drained)
    assert sorted(inbox.image_ids) == sorted(f"img-{i}" for i in range(20))
    assert len({(one.source, one.event_id) for one in inbox.sightings}) == 20


async def test_it_names_its_type_with_every_batch(fed: Fed, tmp_path: Path) -> None:
    inbox = Inbox()
    async with fed(LINES, tmp_path) as feed, running(feed.source, inbox):
        await becomes(feed.drained)
        assert inbox.types == {feed.source.type}


async def test_it_keeps_the_name_it_was_given(fed: Fed, tmp_path: Path) -> None:
    async with fed([], tmp_path) as feed:
        assert feed.source.name == "under-test"


async def test_an_unreadable_delivery_is_kept_too_unless_its_sender_is_told(fed_bytes: Fed, tmp_path: Path) -> None:
    inbox = Inbox()
    async with fed_bytes([LINES[0], b"{nonsense", LINES[1]], tmp_path) as feed, running(feed.source, inbox):
        await becomes(feed.drained)
    kept = [(bad.body, bad.reason.startswith("not JSON"), bool(bad.source)) for bad in inbox.unreadable]
    assert kept == ([(b"{nonsense", True, True)] if feed.keeps_unreadable else [])
    assert sorted(inbox.ids) == ["event-of-img-0", "event-of-img-1"]


async def test_no_delivery_is_an_empty_batch(fed: Fed, tmp_path: Path) -> None:
    inbox = Inbox()
    async with fed(LINES, tmp_path) as feed, running(feed.source, inbox):
        await becomes(feed.drained)
    assert all(inbox.batches)


async def test_it_is_not_drained_while_the_intake_has_not_returned(fed: Fed, tmp_path: Path) -> None:
    inbox = Inbox()
    inbox.close()
    async with fed(LINES, tmp_path) as feed, running(feed.source, inbox):
        await inbox.until(lambda: inbox.waiting == 1)
        assert not feed.drained()
        inbox.open()
        await becomes(feed.drained)


async def test_it_has_one_batch_at_the_intake_at_a_time(fed: Fed, tmp_path: Path) -> None:
    most = 0

    class Counting(Inbox):
        async def __call__(self, batch: Sequence[Delivery], /, *, source_type: str) -> None:
            nonlocal most
            most = max(most, self.waiting + 1)
            await super().__call__(batch, source_type=source_type)

    inbox = Counting()
    async with fed([ready_bytes(f"img-{i}") for i in range(3000)], tmp_path) as feed, running(feed.source, inbox):
        await becomes(feed.drained)
    assert (most, len(inbox.ids)) == (1, 3000)


async def test_it_is_well_when_it_has_delivered(fed: Fed, tmp_path: Path) -> None:
    async with fed(LINES, tmp_path) as feed, running(feed.source, Inbox()):
        await becomes(feed.drained)
        assert feed.source.health() is None


async def test_it_stops_soon_when_nothing_is_in_flight(fed: Fed, tmp_path: Path) -> None:
    async with fed(LINES, tmp_path) as feed:
        with anyio.fail_after(20):
            async with running(feed.source, Inbox()):
                await becomes(feed.drained)


async def test_what_the_intake_raises_ends_the_source(fed: Fed, tmp_path: Path) -> None:
    class Broken(Inbox):
        async def __call__(self, *_: object, **__: object) -> None:
            raise ZeroDivisionError("the ledger is gone")

    async with fed(LINES, tmp_path) as feed:
        with pytest.raises(ExceptionGroup) as caught:
            async with running(feed.source, Broken()):
                await becomes(lambda: False)
    assert caught.group_contains(ZeroDivisionError, match="the ledger is gone")
