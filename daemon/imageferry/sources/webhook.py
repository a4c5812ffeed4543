"""The webhook source: events by HTTP POST on a port of its own, answered 202 once they are in the ledger.

The app builds it through the registry and runs it. What cannot be read is answered 400 with the reason and not kept:
its sender has it still. Requests that come while the intake is at work are handed over together, as one batch. A port
that cannot be bound is a reason in :meth:`WebhookSource.health`, and tried again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

import anyio
import structlog
from anyio.abc import TaskStatus
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from imageferry.ports import Clock, Delivery, Intake, Unreadable
from imageferry.sources.cloudevents import Codec, EnvelopeReader
from imageferry.sources.mapping import mappers
from imageferry.sources.posts import Post, Proof, TurnedAway, discard, not_now, receive
from imageferry.sources.specs import WebhookSpec
from imageferry.telemetry.bounds import Bounds
from imageferry.telemetry.http import ListenFailed, serving
from imageferry.telemetry.metrics import Metrics

BATCH: Final = 1000
"""Events after which no further request joins a batch."""
ANSWER_WITHIN: Final = 30.0
"""Seconds that a sender waits for the ledger; a repeat of what is recorded after all changes nothing."""
BIND_EVERY: Final = 5.0
"""Seconds between two tries to bind the port."""
_LARGE: Final = 65_536
"""Bytes from which one body is parsed in a thread."""


class _Waiting:
    """The events of one request, on their way to the ledger."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries = deliveries
        self.settled = anyio.Event()
        self.durable = False

    def settle(self, *, durable: bool) -> None:
        self.durable = durable
        self.settled.set()


class WebhookSource:
    """Events by HTTP POST; see :class:`imageferry.ports.EventSource`. It is an ASGI application itself."""

    type = "webhook"
    finite = False

    def __init__(
        self,
        spec: WebhookSpec,
        name: str,
        readers: Sequence[EnvelopeReader],
        clock: Clock,
        metrics: Metrics,
        bounds: Bounds | None = None,
    ) -> None:
        self.name = name
        self.address: tuple[str, int] | None = None
        """Where it listens, once it does."""
        self._spec = spec
        self._path = unquote(spec.path)
        self._codec = Codec(readers, mappers(spec.mapping))
        self._proof = Proof(spec.secret.get_secret_value())
        self._clock = clock
        self._answers = metrics.webhook_answers_total
        self._bounds = bounds or Bounds()
        self._log = structlog.get_logger(__name__).bind(source=name)
        self._trouble: str | None = f"not listening on {spec.listen} yet"
        self._queue: deque[_Waiting] = deque()
        self._at_intake: list[_Waiting] = []
        self._news = anyio.Event()
        self._open = False
        """Whether anything can be taken: the daemon does not stop, and its ledger works."""

    def health(self) -> str | None:
        """None when it listens, else why not."""
        return self._trouble

    def drained(self) -> bool:
        """Whether every request that was taken is in the ledger; a webhook as such has no end."""
        return not self._queue and not self._at_intake

    async def run(self, accept: Intake, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; started when the first try to bind has ended, well or not."""
        delivering = anyio.CancelScope(shield=True)  # until the last request is answered
        self._open = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._deliver, accept, delivering)
            try:
                await self._keep_listening(task_status)
            finally:
                delivering.cancel()

    async def _keep_listening(self, task_status: TaskStatus[None]) -> None:
        told = False
        while True:
            try:
                await self._listen(task_status, told=told)
            except ListenFailed as error:
                if str(error) != self._trouble:
                    self._log.warning("the webhook is not listening", reason=str(error), again_every=BIND_EVERY)
                self._trouble = str(error)
            if not told:
                task_status.started()
                told = True
            await self._clock.sleep(BIND_EVERY)

    async def _listen(self, task_status: TaskStatus[None], *, told: bool) -> None:
        """Serve until cancelled. :raises ListenFailed: the port cannot be bound."""
        host, _, port = self._spec.listen.rpartition(":")
        async with serving(self, host.strip("[]"), int(port), bounds=self._bounds) as self.address:
            self._trouble = None
            self._log.info("webhook listens", address="{}:{}".format(*self.address), path=self._spec.path)
            if not told:
                task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                self._open = False
                self._trouble = "the daemon is stopping"

    async def _deliver(self, accept: Intake, shield: anyio.CancelScope) -> None:
        """Hand over batch after batch. What the intake raises ends the source; its senders are to come again."""
        try:
            with shield:
                while True:
                    await self._news.wait()
                    self._news = anyio.Event()
                    while self._queue:
                        await self._deliver_one(accept)
        finally:
            self._open = False
            for waiting in (*self._at_intake, *self._queue):
                waiting.settle(durable=False)
            self._queue.clear()

    async def _deliver_one(self, accept: Intake) -> None:
        self._at_intake = self._next()
        await accept([one for waiting in self._at_intake for one in waiting.deliveries], source_type=self.type)
        for waiting in self._at_intake:
            waiting.settle(durable=True)
        self._at_intake = []

    def _next(self) -> list[_Waiting]:
        """The requests of the next batch, each as a whole."""
        taken: list[_Waiting] = []
        size = 0
        while self._queue and size < BATCH:
            taken.append(self._queue.popleft())
            size += len(taken[-1].deliveries)
        return taken

    # --- one request -----------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive_message: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive_message)
        try:
            taken = await self._take(request)
            answer = JSONResponse({"events": taken}, 202)
        except TurnedAway as turned:
            if turned.body == "unread":
                await discard(request)
            answer = turned.answer()
        self._answers.labels(str(answer.status_code)).inc()
        await answer(scope, receive_message, send)

    async def _take(self, request: Request) -> int:
        """Have the events of a request recorded; returns how many they are.

        :raises TurnedAway: they are not, all or none.
        """
        post = await receive(request, self._path, self._proof)
        found = await self._read(post)
        wrong = [one for one in found if isinstance(one, Unreadable)]
        if wrong:
            raise TurnedAway(400, _reasons(wrong), "read")
        if found:
            await self._hand_over(found)
        return len(found)

    async def _read(self, post: Post) -> list[Delivery]:
        source = f"webhook:{self._spec.listen}{self._spec.path}"

        def read() -> list[Delivery]:
            return self._codec.read(post.body, "", post.headers, mapped_source=source)

        return read() if len(post.body) <= _LARGE else await anyio.to_thread.run_sync(read)

    async def _hand_over(self, found: Sequence[Delivery]) -> None:
        """Wait until the events are durable."""
        if not self._open:
            raise not_now("the daemon is stopping, or its ledger does not work; try again")
        waiting = _Waiting(found)
        self._queue.append(waiting)
        self._news.set()
        with anyio.move_on_after(ANSWER_WITHIN):
            await waiting.settled.wait()
        with suppress(ValueError):  # one that nobody waits for any more must not wait either
            self._queue.remove(waiting)
        if not waiting.durable:
            raise not_now("the ledger did not take this; try again")


_MOST_REASONS: Final = 5


def _reasons(wrong: Sequence[Unreadable]) -> str:
    """Why a request cannot be read; what is wrong in a batch with its index."""
    said = [f"[{one.source[1:]}]: {one.reason}" if one.source else one.reason for one in wrong[:_MOST_REASONS]]
    more = len(wrong) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")
