"""The records that go into and come out of the ledger. Times are microseconds UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from imageferry.core.answers import Answer
from imageferry.core.decision import Decision
from imageferry.core.image import Image, Place
from imageferry.core.job import ActionKind, Job, NewJob
from imageferry.core.machine import State
from imageferry.ports.sources import Headers, Sighting, Unreadable


class Admitted(NamedTuple):
    """A sighting that intake resolved to a configured account and region."""

    sighting: Sighting
    place: Place


class Ignored(NamedTuple):
    """A sighting that nothing is to be done about, with the reason."""

    sighting: Sighting
    reason: str


IntakeRow = Admitted | Ignored | Unreadable


class Recorded(NamedTuple):
    """How many of a batch became what."""

    accepted: int
    duplicate: int
    ignored: int
    dead: int


class DueLook(NamedTuple):
    """An image that is due to be looked at."""

    place: Place
    image_id: str
    attempts: int
    """Looks so far that found it not ready, or failed."""
    first_seen_at: int
    """When the sighting that opened this look was received."""
    priority: int
    version: int
    only: tuple[str, ...] = ()
    """The policies that are to be asked, for a back-fill of some; empty: all."""


class LookLater(NamedTuple):
    """Put a due look off."""

    due: DueLook
    due_at: int
    reason: str
    counted: bool = True


class LookDone(NamedTuple):
    """End a look: decided, or closed without a decision (gone, failed, past its deadline)."""

    due: DueLook
    outcome: Literal["decided", "gone", "failed", "expired"]
    reason: str
    decision: Decision | None = None
    jobs: tuple[NewJob, ...] = ()


class PutIn(NamedTuple):
    """What :meth:`Ledger.put_in` made of some images."""

    put_in: int
    waiting: int
    """Were to be looked at already."""


class NewlyDone(NamedTuple):
    """What :meth:`Ledger.close_looks` wrote: jobs that did not exist before."""

    planned: int
    failed: tuple[Job, ...]
    """Born failed (preflight): already in the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move of one job to another state (or to the same, to put it off), by compare-and-set on ``job.version``."""

    job: Job
    to: State
    reason: str
    due_at: int | None = None
    give_up_at: int | None = None
    answer: Answer | None = None
    """Its class, code and request id become the job's; None keeps the last ones."""
    counted: bool = False
    """Adds one to ``attempts``."""
    task_ref: str | None = None
    object_keys: tuple[str, ...] | None = None
    memo: Mapping[str, Any] | None = None
    sent_at: int | None = None
    """For a move to ``running`` or ``planned`` the unresolved send is cleared; elsewhere None keeps it."""


class Claim(NamedTuple):
    """What :meth:`Ledger.claim` is asked: a lane's next job, in the transaction that counts its running tasks."""

    cloud: str
    account: str
    region: str
    action: ActionKind
    running: int | None
    """How many may run at once over ``scope``; None: no limit is known."""
    scope: Literal["region", "account"]
    sent_at: int
    """The vendor's time, stored as the first unresolved send."""


class Counted(NamedTuple):
    """Jobs of one kind in one state."""

    place: Place
    action: str
    state: State
    jobs: int


class Unprotected(NamedTuple):
    """Images a policy wanted and that are not protected (yet)."""

    policies: tuple[str, ...]
    jobs: int
    oldest: int
    """``created_at`` of the oldest such job."""


class OutboxRow(NamedTuple):
    """A completion to publish; ``body`` is the whole CloudEvent as JSON."""

    seq: int
    image_id: str
    event_id: str
    body: str


class HistoryRow(NamedTuple):
    """One move of a job."""

    at: int
    from_state: str
    to_state: str
    reason: str
    klass: str
    vendor_code: str
    request_id: str


class DeadLetter(NamedTuple):
    """A delivery that could not be read."""

    id: int
    source: str
    received_at: int
    reason: str
    """Why it could not be read, the last time that it was tried."""
    body: bytes
    headers: Headers = ()
    replayed_at: int | None = None
    """When it could be read after all; None while it waits."""
    outcome: str = ""
    """What its events then became: ``1 accepted``."""


class LetterHead(NamedTuple):
    """A dead letter without its bytes, of which there may be a megabyte: what a list shows."""

    id: int
    source: str
    received_at: int
    reason: str
    size: int
    """How many bytes it keeps."""
    replayed_at: int | None
    outcome: str


class EventRow(NamedTuple):
    """One event about an image."""

    source: str
    event_id: str
    place: Place
    """As configured; where it was ignored, as the event says it."""
    received_at: int
    ignored: str | None
    """Why nothing was done about it."""


class Covered(NamedTuple):
    """How many images a policy wants at a place, by the worst that became of what it wants of each."""

    policy: str
    place: Place
    protected: int
    on_the_way: int
    failed: int
    cancelled: int
    undecided: int
    """Images of which the policy could not tell whether it wants them; they are in no other count."""
    oldest: int | None
    """``created_at`` of the oldest job that has neither succeeded nor been cancelled."""


class ImageRow(NamedTuple):
    """What the ledger knows of one image."""

    place: Place
    image_id: str
    outcome: str
    """``due``, ``decided``, ``gone``, ``failed`` or ``expired``."""
    reason: str
    due_at: int | None
    looked_at: int | None
    image: Image | None
    decision: Mapping[str, Any] | None
    """``{"digest": …, "verdicts": [{policy verdict reason}]}`` of the last decision."""
