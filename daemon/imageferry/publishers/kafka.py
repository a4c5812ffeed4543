"""The Kafka publisher: completions as structured CloudEvents on a topic, all of a batch acknowledged or none counted.

The app opens it through the registry; only flow's announce loop calls it. It connects when it is first needed, so a
broker that is away does not keep the daemon from starting. It does not try again by itself: the outbox does. This is
one of the two modules that know the Kafka client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from imageferry.errors import PublishFailed
from imageferry.kafkaconn import Ear, UnusableTls, attached, client_options, speaking
from imageferry.ports import Clock, OutboxRow
from imageferry.publishers.specs import KafkaSpec

HEADERS: Final = [("content-type", b"application/cloudevents+json; charset=UTF-8")]

_CONNECT_WITHIN: Final = 20.0
_SEND_WITHIN: Final = 30.0
_CLOSE_WITHIN: Final = 5.0
_REQUEST_MS: Final = 10_000
_LARGEST: Final = 4 * 1_048_576


class KafkaPublisher:
    """See :class:`imageferry.ports.Publisher`."""

    type = "kafka"

    def __init__(self, spec: KafkaSpec, name: str, clock: Clock) -> None:
        self.name = name
        self._spec = spec
        self._ear = Ear(name, spec.servers, clock.monotonic)
        self._producer: AIOKafkaProducer | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[KafkaPublisher]:
        """Hold it open; sends nothing by itself."""
        with attached(self._ear):
            try:
                yield self
            finally:
                await self._close()

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Send the batch in order, keyed by image; returning means that every replica in sync has all of it.

        :raises PublishFailed: some of it is not known to be there; what was sent anyway is sent again under its id.
        """
        with speaking(self._ear):
            producer = await self._connected()
            try:
                with anyio.fail_after(_SEND_WITHIN):
                    await self._send(producer, rows)
            except TimeoutError as error:
                # The client goes on by itself when the broker is back; until then it would only be built in vain.
                raise self._failed(error) from error
            except KafkaError as error:
                await self._close()
                raise self._failed(error) from error
        self._ear.forget()

    async def _send(self, producer: AIOKafkaProducer, rows: Sequence[OutboxRow]) -> None:
        topic = self._spec.topic
        sent = [
            await producer.send(topic, row.body.encode(), key=row.image_id.encode(), headers=HEADERS) for row in rows
        ]
        # Every outcome is taken before the first failure is raised, or the others would warn of being forgotten.
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        try:
            options = await anyio.to_thread.run_sync(client_options, self._spec)
        except UnusableTls as error:
            raise PublishFailed(f"Kafka at {self._spec.servers}: {error}") from error
        producer = AIOKafkaProducer(
            client_id=f"imageferry-{self.name}",
            enable_idempotence=True,
            acks="all",
            request_timeout_ms=_REQUEST_MS,
            max_request_size=_LARGEST,
            **options,
        )
        try:
            with anyio.fail_after(_CONNECT_WITHIN):
                await producer.start()
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await producer.stop()
            if isinstance(error, KafkaError | OSError):
                raise self._failed(error) from error
            raise
        self._producer = producer
        return producer

    def _failed(self, error: Exception) -> PublishFailed:
        said = str(error) or "no answer in time"
        if isinstance(error, UnknownTopicOrPartitionError):
            said = f"topic {self._spec.topic} does not exist, or the user may not see it"
            return PublishFailed(f"Kafka at {self._spec.servers}: {said}")
        return PublishFailed(self._ear.reason or f"Kafka at {self._spec.servers}: {said}")

    async def _close(self) -> None:
        # What is still on its way when a broker hangs is in the outbox: closing does not wait for it for ever.
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with anyio.move_on_after(_CLOSE_WITHIN, shield=True) as waiting:
            await producer.stop()
        if waiting.cancelled_caught:
            with anyio.move_on_after(_CLOSE_WITHIN, shield=True):
                await producer.client.close()
