"""The Kafka source: a consumer group member that commits an offset only after the intake has made it durable.

The app builds it through the registry and runs it. It decides nothing about events (that is the codec's and the
intake's affair) and never gives up: a broker that is away, a wrong password or a missing topic are reasons in
:meth:`KafkaSource.health`, tried again with a bounded wait.

Four tasks work on one connection: one fetches and parses the next batch while another has the last one accepted,
one commits the newest durable offsets behind them, and one watches ends and lag. This is one of the two modules that
know the Kafka client.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from anyio.abc import ObjectReceiveStream, ObjectSendStream, TaskStatus

from imageferry.errors import SourceFailed
from imageferry.kafkaconn import Ear, UnusableTls, attached, client_options, speaking
from imageferry.ports import Clock, Delivery, Intake
from imageferry.sources.cloudevents import Codec, EnvelopeReader
from imageferry.sources.mapping import mappers
from imageferry.sources.offsets import Batch, Offsets, Partition
from imageferry.sources.specs import KafkaSpec
from imageferry.telemetry.metrics import Metrics

BATCH: Final = 10_000
"""The most messages in one batch: one commit, which costs the less the more are in it."""

STUCK_AFTER: Final = 60.0
"""Seconds with lag but without progress, or without any answer, after which the consumer is built anew."""

_FETCH_WAIT_MS: Final = 200
_WATCH_EVERY: Final = 1.0
_COMMIT_EVERY: Final = 0.05
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 5.0
_LIVED_WELL: Final = 30.0
_CONNECT_WITHIN: Final = 30.0
_STARTED_WITHIN: Final = 5.0
_ASK_WITHIN: Final = 5.0
_CLOSE_WITHIN: Final = 5.0
_SLICE: Final = 0.01
"""Seconds of parsing after which the event loop gets a turn."""
_LOOK_EVERY: Final = 32
_LARGE: Final = 65_536
"""Bytes from which one message is parsed in a thread."""
_SESSION_MS: Final = 10_000
_HEARTBEAT_MS: Final = 2_000
_REQUEST_MS: Final = 15_000
"""Longer than a rebalance may take, or a join would be given up while the group still waits for its members."""


_log: Final = structlog.get_logger(__name__)


def instance_id(spec: KafkaSpec, host: str) -> str:
    """The static member's name: the same after every restart, so that a killed daemon gets its partitions at once."""
    if spec.instance_id is not None:
        return spec.instance_id
    topics = hashlib.sha256("\n".join(sorted(spec.topics)).encode()).hexdigest()[:8]
    return f"imageferry-{re.sub(r'[^A-Za-z0-9._-]', '-', host)[:200]}-{topics}"


class KafkaSource:
    """Events from Kafka topics; see :class:`imageferry.ports.EventSource`.

    :param host: this machine's name, for the member's name where the spec gives none.
    """

    type = "kafka"
    finite = True

    def __init__(
        self,
        spec: KafkaSpec,
        name: str,
        readers: Sequence[EnvelopeReader],
        clock: Clock,
        metrics: Metrics,
        host: str = "localhost",
    ) -> None:
        self.name = name
        self._spec = spec
        self._codec = Codec(readers, mappers(spec.mapping))
        self._clock = clock
        self._metrics = metrics
        self._member = instance_id(spec, host)
        self._offsets = Offsets()
        self._ear = Ear(name, spec.servers, clock.monotonic)
        self._log = _log.bind(source=name)
        self._trouble: str | None = f"Kafka at {spec.servers}: not connected yet"
        self._tried = anyio.Event()
        self._idle_since: float | None = None
        self._shown: set[Partition] = set()
        self._news = anyio.Event()
        self._moved = anyio.Event()
        self._settled = anyio.Event()

    def health(self) -> str | None:
        """None when well, else what is wrong: password, certificate, broker, topic."""
        return self._trouble or self._ear.reason

    def drained(self) -> bool:
        """Whether every assigned partition was accepted up to the end it had when it was first assigned."""
        return self._offsets.drained()

    async def run(self, accept: Intake, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; started when the first try to connect has ended, well or not."""
        with attached(self._ear), speaking(self._ear):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_connected, accept)
                with anyio.move_on_after(_STARTED_WITHIN):
                    await self._tried.wait()
                task_status.started()

    async def _keep_connected(self, accept: Intake) -> None:
        wait = _FIRST_WAIT
        while True:
            began = self._clock.monotonic()
            try:
                await self._session(accept)
            except* (KafkaError, SourceFailed) as group:
                self._trouble = self._explain(group)
            self._tried.set()
            if self._clock.monotonic() - began > _LIVED_WELL:
                wait = _FIRST_WAIT
            self._log.warning("kafka source is not connected", reason=self._trouble, again_in=wait)
            await self._clock.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _explain(self, group: BaseExceptionGroup[Exception]) -> str:
        first = _leaves(group)[0]
        if isinstance(first, SourceFailed):
            return str(first)
        return self._ear.reason or f"Kafka at {self._spec.servers}: {str(first) or type(first).__name__}"

    async def _session(self, accept: Intake) -> None:
        """One consumer's life, from connecting to its failure or the end of the source."""
        try:
            options = await anyio.to_thread.run_sync(client_options, self._spec)
        except UnusableTls as error:
            raise SourceFailed(f"Kafka at {self._spec.servers}: {error}") from error
        async with self._consumer(options) as consumer:
            await self._connect(consumer)
            self._log.info("kafka source connected", topics=self._spec.topics, group=self._spec.group_id)
            await self._pump(consumer, accept)

    async def _connect(self, consumer: AIOKafkaConsumer) -> None:
        try:
            with anyio.fail_after(_CONNECT_WITHIN):
                await consumer.start()
                there = await consumer.topics()
        except OSError as error:
            raise SourceFailed(self._ear.reason or f"Kafka at {self._spec.servers} does not answer") from error
        missing = [topic for topic in self._spec.topics if topic not in there]
        if missing:
            named = ", ".join(missing)
            raise SourceFailed(
                f"Kafka at {self._spec.servers}: topic {named} does not exist, or the user may not see it"
            )
        consumer.subscribe(list(self._spec.topics), listener=_Rebalances(self, consumer))
        self._ear.forget()
        self._trouble = None
        self._idle_since = None
        self._tried.set()

    @asynccontextmanager
    async def _consumer(self, options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            client_id=f"imageferry-{self.name}",
            group_id=self._spec.group_id,
            group_instance_id=self._member,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            request_timeout_ms=_REQUEST_MS,
            **options,
        )
        try:
            yield consumer
        finally:
            self._show_lag({})
            self._offsets.close()
            await _close(consumer)

    async def _pump(self, consumer: AIOKafkaConsumer, accept: Intake) -> None:
        # Without a buffer a send waits until the last batch was accepted: one batch in flight, one parsed behind it.
        send, receive = anyio.create_memory_object_stream[Batch](0)
        delivering = anyio.CancelScope(shield=True)
        self._settled = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._deliver, receive, accept, delivering)
            tasks.start_soon(self._commit_behind, consumer)
            tasks.start_soon(self._watch, consumer)
            try:
                async with send:
                    await self._read(consumer, send)
            finally:
                delivering.deadline = anyio.current_time() + _CLOSE_WITHIN
                with anyio.CancelScope(shield=True):
                    await self._settled.wait()
                with anyio.move_on_after(_CLOSE_WITHIN, shield=True):
                    await self._commit(consumer)
                tasks.cancel_scope.cancel()

    async def _read(self, consumer: AIOKafkaConsumer, send: ObjectSendStream[Batch]) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=_FETCH_WAIT_MS, max_records=BATCH)
            if not fetched:
                self._idle_since = self._idle_since or self._clock.monotonic()
                continue
            self._idle_since = None
            # Nothing may be awaited before this line: the client gave what belongs to the assignment of this moment.
            epoch = self._offsets.read()
            await send.send(await self._parsed(fetched, epoch))

    async def _parsed(self, fetched: Mapping[Any, Sequence[Any]], epoch: int) -> Batch:
        deliveries: list[Delivery] = []
        turn = self._clock.monotonic() + _SLICE
        for tp, messages in fetched.items():
            read = partial(self._codec.read, mapped_source=f"kafka:{tp.topic}")
            for count, message in enumerate(messages):
                origin = f"kafka:{tp.topic}[{tp.partition}]@{message.offset}"
                size = len(message.value or b"")
                if size > _LARGE:
                    deliveries += await anyio.to_thread.run_sync(read, message.value, origin, message.headers)
                else:
                    deliveries += read(message.value, origin, message.headers)
                if (count % _LOOK_EVERY == 0 or size > _LARGE // _LOOK_EVERY) and self._clock.monotonic() > turn:
                    await anyio.lowlevel.checkpoint()
                    turn = self._clock.monotonic() + _SLICE
        return Batch(deliveries, {Partition(*tp): messages[-1].offset + 1 for tp, messages in fetched.items()}, epoch)

    async def _deliver(self, receive: ObjectReceiveStream[Batch], accept: Intake, shield: anyio.CancelScope) -> None:
        """Have one batch after the other accepted; shielded, so that a stop lets the one in flight end."""
        try:
            with shield:
                async with receive:
                    async for batch in receive:
                        await self._deliver_one(batch, accept)
        finally:
            self._settled.set()

    async def _deliver_one(self, batch: Batch, accept: Intake) -> None:
        if self._offsets.current(batch):
            if batch.deliveries:
                await accept(batch.deliveries, source_type=self.type)
            self._offsets.accept(batch)
            self._news.set()
        else:
            self._offsets.drop()
        self._moved.set()

    async def _commit_behind(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            await self._commit(consumer)
            await self._clock.sleep(_COMMIT_EVERY)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit the newest durable offsets; a rebalance in between only costs repeats."""
        epoch, offsets = self._offsets.epoch, self._offsets.uncommitted()
        if not offsets:
            return
        try:
            await consumer.commit({TopicPartition(*tp): offset for tp, offset in offsets.items()})
        except (CommitFailedError, IllegalStateError) as error:
            self._log.info("offsets not committed, their messages will be repeated", reason=str(error))
        else:
            self._offsets.commit(offsets, epoch)

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Ask where the partitions end: for the lag, for ``drained``, and to notice a consumer that stands still."""
        answered = lagging_since = self._clock.monotonic()
        while True:
            await self._clock.sleep(_WATCH_EVERY if self._offsets.aimed else _WATCH_EVERY / 10)
            lag = await self._lag(consumer)
            now = self._clock.monotonic()
            if lag is not None:
                answered = now
            if not lag or not any(lag.values()):
                lagging_since = now
            idle = self._idle_since is not None and now - max(self._idle_since, lagging_since) > STUCK_AFTER
            if idle or now - answered > STUCK_AFTER:
                what = "messages are waiting but none arrive" if idle else "nothing was answered"
                raise SourceFailed(
                    f"Kafka at {self._spec.servers}: {what} for {STUCK_AFTER:.0f} seconds; connecting anew"
                )

    async def _lag(self, consumer: AIOKafkaConsumer) -> Mapping[Partition, int] | None:
        """How many messages each assigned partition has beyond what was read; None when the broker does not say."""
        epoch, partitions = self._offsets.epoch, sorted(self._offsets.assigned)
        try:
            with anyio.fail_after(_ASK_WITHIN):
                await consumer.topics()
                ends = await consumer.end_offsets(partitions) if partitions else {}
                positions = {tp: await consumer.position(tp) for tp in partitions}
        except (KafkaError, TimeoutError) as error:
            said = str(error) or "no answer in time"
            self._trouble = self._ear.reason or f"Kafka at {self._spec.servers}: {said}"
            return None
        self._trouble = None
        self._ear.forget()
        if epoch != self._offsets.epoch:
            return {}
        self._offsets.aim({tp: ends[tp] for tp in partitions})
        if self._offsets.resting:
            self._offsets.rest_at(positions)
        lag = {tp: max(0, ends[tp] - positions[tp]) for tp in partitions}
        self._show_lag(lag)
        return lag

    def _show_lag(self, lag: Mapping[Partition, int]) -> None:
        for gone in self._shown - lag.keys():
            self._metrics.source_lag.remove(self.type, f"{gone.topic}-{gone.partition}")
        for tp, count in lag.items():
            self._metrics.source_lag.labels(self.type, f"{tp.topic}-{tp.partition}").set(count)
        self._shown = set(lag)

    async def leave(self, consumer: AIOKafkaConsumer) -> None:
        """A rebalance begins: let the batch in flight end and commit it, so that nobody reads it again."""
        self._offsets.leave()
        try:
            with anyio.move_on_after(_CLOSE_WITHIN):
                while not self._offsets.resting:
                    self._moved = anyio.Event()
                    await self._moved.wait()
                await self._commit(consumer)
        finally:
            self._offsets.revoke()

    def join(self, partitions: Iterable[Partition]) -> None:
        """A rebalance ended."""
        self._offsets.assign(partitions)
        self._idle_since = None
        self._log.info("kafka partitions assigned", partitions=[f"{tp.topic}-{tp.partition}" for tp in partitions])


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc] # the Kafka client has no types
    """Tells the source of rebalances, in the client's own task."""

    def __init__(self, source: KafkaSource, consumer: AIOKafkaConsumer) -> None:
        self._source = source
        self._consumer = consumer

    async def on_partitions_revoked(self, _revoked: Iterable[Any]) -> None:
        """Before the group is joined anew."""
        await self._source.leave(self._consumer)

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """After it was joined."""
        self._source.join(sorted(Partition(*tp) for tp in assigned))


async def _close(consumer: AIOKafkaConsumer) -> None:
    """Stop the consumer, and where it cannot stop itself in time or at all, at least leave nothing running."""
    with anyio.move_on_after(_CLOSE_WITHIN, shield=True):
        try:
            await consumer.stop()
        except KafkaError as error:
            _log.info("the kafka consumer did not stop cleanly", reason=str(error))
        else:
            return
    with anyio.move_on_after(_CLOSE_WITHIN, shield=True):
        for part in (consumer._fetcher, consumer._client):  # noqa: SLF001 - a failed stop() leaves them open
            if part is not None:
                await part.close()


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
