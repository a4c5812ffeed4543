"""The ports: what flow needs from the outside, as small Protocols and the records that pass through them.

Adapters (sources, clouds, ledgers, publishers) implement them; flow is their only user. All times are integer
microseconds UTC unless a name says ``seconds``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from imageferry.core.answers import Answer
from imageferry.core.decision import Decision
from imageferry.core.facts import CloudFacts, LaneKind
from imageferry.core.image import Image, Place
from imageferry.core.job import ActionKind, Job, NewJob
from imageferry.core.machine import State

if TYPE_CHECKING:
    from anyio.abc import TaskStatus


class Clock(Protocol):
    """Time, given and never taken."""

    def now(self) -> int:
        """The wall clock, microseconds UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less only yields."""
        ...


# --- sources -------------------------------------------------------------------------------------------------------


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


Delivery = Sighting | Unreadable


class Intake(Protocol):
    """What a source hands deliveries to. Returning means: durable; only then may the source acknowledge."""

    async def __call__(self, batch: Sequence[Delivery], /, *, source_type: str) -> None:
        """Record a batch in one transaction. Backpressure is this await."""
        ...


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
        """None when well, else the reason a person should read. Called at any time."""
        ...

    def drained(self) -> bool:
        """Whether everything that was there at the start has been accepted; only asked of finite sources."""
        ...


# --- clouds --------------------------------------------------------------------------------------------------------


class Permit(Protocol):
    """Leave for exactly one vendor request."""

    def judged(self, answer: Answer) -> None:
        """Say how the request ended, whatever it was: moves the pace, the circuit and the metrics."""
        ...


class Gate(Protocol):
    """Where an adapter asks leave for every vendor request that flow did not get leave for itself."""

    def enter(self, region: str, kind: LaneKind) -> AbstractAsyncContextManager[Permit]:
        """Wait for the pace of the lane and for the account's circuit.

        :raises CircuitOpen: the account is closed off.
        """
        ...


class Gone(NamedTuple):
    """The cloud does not have the image, or refuses to show this id."""

    reason: str


Look = Image | Gone


class Frozen(NamedTuple):
    """A request as it is written down before it is sent."""

    request: Mapping[str, Any]
    """JSON: everything a resend and ``find`` need."""
    made_name: str = ""
    """The name a copy will have in its region."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The cloud took the request."""

    task_ref: str
    request_id: str = ""
    object_keys: tuple[str, ...] = ()
    """Without the bucket, without a leading slash."""


class Found(NamedTuple):
    """The lost task, object or image is there: the job runs under this reference."""

    task_ref: str
    reason: str
    object_keys: tuple[str, ...] = ()
    request_id: str = ""


class Absent(NamedTuple):
    """It was looked for and is not there."""

    reason: str
    certain: bool = False
    """False where a name is the only guard: flow then wants a second look, some time later."""


class Unclear(NamedTuple):
    """Nothing was proved; look again later."""

    reason: str
    answer: Answer | None = None


class Lost(NamedTuple):
    """The lost task is there and has failed: the doubt is over."""

    reason: str
    answer: Answer


Finding = Found | Absent | Unclear | Lost


class Following(NamedTuple):
    """A running job that is due to be looked at."""

    job: Job
    overdue: bool
    """Its deadline is past: the adapter decides whether it still runs, and says so."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What following one job told."""

    job_id: str
    verdict: Literal["running", "succeeded", "failed", "vanished"]
    """``vanished``: the task ended and left nothing; the job may be asked for once more."""
    reason: str
    memo: Mapping[str, Any] = field(default_factory=dict)
    object_keys: tuple[str, ...] | None = None
    """The keys that were really written, when they are known better than before."""
    answer: Answer | None = None
    soon: bool = False
    """The end is near (the object is there, its size must be seen twice): look again at the shortest cadence."""


class Cloud(Protocol):
    """One account at one cloud. Every method may be called concurrently; none retries by itself.

    Requests other than the one that ``submit`` was given a permit for ask the :class:`Gate` first.
    """

    account: str
    facts: CloudFacts

    def scope(self, region: str, kind: LaneKind) -> str:
        """The scope in which the vendor counts such requests: the region, or ``*`` for the whole account."""
        ...

    def vendor_time(self, now: int) -> int:
        """Our time ``now`` by the vendor's clock, as far as its answers have told it."""
        ...

    def freeze(self, job: Job, image: Image) -> Frozen:
        """The whole request of a job. Pure; runs inside the ledger's transaction."""
        ...

    async def look(self, region: str, image_ids: Sequence[str]) -> Mapping[str, Look]:
        """Read images, up to 100 a request; an answer for every id asked. Halves a batch that one id poisons.

        :raises Refused: the cloud did not answer the question at all.
        """
        ...

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send ``job.request`` once. Never raises but for cancellation; an exception is a bug."""
        ...

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for what ``job`` may have started since ``job.sent_at``.

        :param taken: task references that other jobs own; never adopt one of them.
        """
        ...

    async def follow(self, region: str, jobs: Sequence[Following]) -> Sequence[Progress]:
        """Look after running jobs of one region, up to 100; an entry for every job.

        :raises Refused: the cloud did not answer at all; nothing is known.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


# --- ledger --------------------------------------------------------------------------------------------------------


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
    body: bytes


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


class JobFilter(NamedTuple):
    """Which jobs a list shows; None means any."""

    state: str | None = None
    cloud: str | None = None
    account: str | None = None
    image: str | None = None
    policy: str | None = None
    limit: int | None = None


class Reader(Protocol):
    """The reading half of a ledger: enough for lists, plan and the ops listener; safe beside a running daemon."""

    async def job(self, job_id: str) -> Job | None:
        """One job by its id, or by a unique beginning of it."""
        ...

    async def jobs(self, want: JobFilter) -> list[Job]:
        """Jobs, newest first."""
        ...

    async def history(self, job_id: str) -> list[HistoryRow]:
        """Every move of a job, oldest first."""
        ...

    async def image(self, image_id: str) -> list[ImageRow]:
        """What is known of an image id, at every place that has it."""
        ...

    async def dead_letters(self, limit: int | None = None) -> list[DeadLetter]:
        """Dead letters, newest first."""
        ...

    async def counts(self) -> list[Counted]:
        """How many jobs are in which state."""
        ...

    async def unprotected(self) -> list[Unprotected]:
        """Jobs that are not succeeded and not cancelled, by the policies that asked for them."""
        ...

    async def outbox_size(self) -> int:
        """How many completions are not yet published everywhere."""
        ...

    async def open_work(self) -> tuple[int, int]:
        """(looks that are due now or later, jobs in open states)."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Ledger(Reader, Protocol):
    """Everything durable. Each method is one transaction; returning means it is on the disk."""

    exclusive: bool
    """Whether holding the ledger already proves that no other daemon works on it (SQLite's lock file)."""

    async def record(self, batch: Sequence[IntakeRow], now: int) -> Recorded:
        """Events (unique by source and id), looks that are now due, dead letters. Repeats change nothing."""
        ...

    async def due_looks(self, account: str, region: str, now: int, limit: int) -> list[DueLook]:
        """Looks that are due, fresh before back-fill, the longest due first."""
        ...

    async def put_off_looks(self, rows: Sequence[LookLater], now: int) -> None:
        """Look again later."""
        ...

    async def close_looks(self, rows: Sequence[LookDone], now: int) -> NewlyDone:
        """Write decisions, jobs (unique by key; a known key only gains policies) and their first history.

        A sighting that came while the look was under way (the version changed) leaves the image due again.
        """
        ...

    async def copies(self, account: str, region: str, images: Sequence[tuple[str, str | None]]) -> set[str]:
        """Of (id, name) pairs in one region: the ids that are copies made by imageferry, by task_ref or made_name."""
        ...

    async def claim(self, ask: Claim, now: int, freeze: Callable[[Job, Image], Frozen]) -> Job | None:
        """Move the lane's next due job to ``submitting`` with its frozen request, or None when nothing may be sent.

        Counts the running tasks (submitting, in_doubt, running) in the same transaction, and passes over images
        that another job in flight holds. A request that is already frozen is kept as it is.
        """
        ...

    async def due_jobs(self, account: str, region: str, state: State, now: int, limit: int) -> list[Job]:
        """Jobs of a state that are due, the longest due first."""
        ...

    async def move(self, moves: Sequence[Move], now: int) -> list[Job]:
        """Carry out moves, each with its history row, and for an end its outbox row; all or none.

        A move to the same state puts the job off, without a history row unless its reason changed.

        :raises MoveConflict: a row changed since it was read.
        :raises MoveForbidden: the table does not have the move.
        """
        ...

    async def overdue(self, now: int, limit: int) -> list[Job]:
        """Planned and in-doubt jobs past ``give_up_at``."""
        ...

    async def in_flight(self, account: str, region: str | None, action: ActionKind) -> dict[State, int]:
        """How many jobs are submitting, in_doubt and running there; None: in every region."""
        ...

    async def taken(self, job: Job) -> set[str]:
        """Task references of every other job of the same image and action."""
        ...

    async def next_due(
        self, account: str, region: str, what: Literal["look"] | State, action: ActionKind | None = None
    ) -> int | None:
        """When the next look, or the next job of that state (and action), falls due; None when there is none."""
        ...

    async def recover(self, account: str, region: str, now: int, due_at: int) -> int:
        """At start-up: every ``submitting`` job becomes ``in_doubt``, due at ``due_at`` or settled by ``sent_at``."""
        ...

    async def claim_lanes(self, owner: str, lanes: Sequence[str], now: int, until: int) -> set[str]:
        """Take, or keep, the lanes that are free, expired or ours; returns the ones now held."""
        ...

    async def release_lanes(self, owner: str) -> None:
        """Give every lane back."""
        ...

    async def pending(self, publisher: str, limit: int) -> list[OutboxRow]:
        """Completions this publisher has not published, oldest first."""
        ...

    async def published(self, publisher: str, seqs: Sequence[int], everyone: Collection[str], now: int) -> None:
        """Mark rows as published; a row that every name of ``everyone`` has published is done."""
        ...

    async def cursor(self, name: str) -> str | None:
        """A source's own bookmark."""
        ...

    async def set_cursor(self, name: str, value: str, now: int) -> None:
        """Write a bookmark."""
        ...


# --- publishers ----------------------------------------------------------------------------------------------------


class Publisher(Protocol):
    """Where completions go."""

    name: str
    """Unique in this daemon; what the ledger remembers."""
    type: str
    """The metric label: kafka, webhook, file, log."""

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Publish in this order; returning means that it is safe with the receiver.

        :raises PublishFailed: nothing of the batch counts as published.
        """
        ...
