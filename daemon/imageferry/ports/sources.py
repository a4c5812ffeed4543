"""What a source hands over, and the port it stands behind. Times are microseconds UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from anyio.abc import TaskStatus

Headers = Sequence[tuple[str, bytes | None]]
"""A message's headers; Kafka allows one without a value."""


class Sighting(NamedTuple):
    """Something said that an image exists. Only who and where: an event's other facts never decide."""

    source: str
    """The event's own source (a CloudEvent's ``source``); unique together with ``event_id``."""
    event_id: str
    cloud: str
    account: str | None
    """The account's name or its ``account_id`` as the event says it; None where the event does not."""
    region: str
    image_id: str


class Unreadable(NamedTuple):
    """A delivery that cannot become a sighting; it is kept as a dead letter."""

    source: str
    """Where it came from, for people: ``kafka:image-events[3]@1041``; unique for one delivery."""
    reason: str
    body: bytes
    headers: Headers = ()
    """Those that say how to read the body: it may be the data alone, and who sent it stand in them."""


Delivery = Sighting | Unreadable


class Intake(Protocol):
    """What a source hands deliveries to. Returning means: durable; only then may the source acknowledge."""

    async def __call__(self, batch: Sequence[Delivery], /, *, source_type: str) -> None:
        """Record a batch in one transaction. Backpressure is this await."""
        ...


class Partly(str):
    """What a source's health says of a trouble beside which it goes on: seen, but no reason to call it unready."""

    __slots__ = ()


class EventSource(Protocol):
    """Where sightings come from."""

    name: str
    """Unique in this daemon: the type, or the type and a number."""
    type: str
    """The metric label: kafka, webhook, polling, file."""
    finite: bool
    """Whether ``--until-idle`` waits for it to be used up."""

    async def run(self, accept: Intake, *, task_status: TaskStatus[None]) -> None:
        """Deliver until cancelled, or until used up; ``task_status.started()`` means listening."""
        ...

    def health(self) -> str | None:
        """None when well, else the reason a person should read. Called at any time.

        A :class:`Partly` where the source goes on beside the trouble.
        """
        ...

    def drained(self) -> bool:
        """Whether everything that was there at the start has been accepted; only asked of finite sources."""
        ...
