"""What flow asks of a cloud, and the leave a cloud's adapter asks of flow. Times are microseconds UTC."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from imageferry.core.answers import Answer
from imageferry.core.facts import CloudFacts, LaneKind
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.ports.inquiries import Inquirer


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


class ImagePage(NamedTuple):
    """Some of an account's own images in a region."""

    images: Sequence[Image]
    marker: str | None
    """Of the next page, opaque to all but the cloud that gave it; None: this was the last one."""


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

    @property
    def inquiries(self) -> Inquirer:
        """The questions of ``check --online``."""
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

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        """One page of the account's own private images in a region, in any state, in the vendor's order.

        Where images come and go between two pages, one may be left out or come twice.

        :raises Refused: the cloud did not answer the question.
        :raises CircuitOpen: the account is closed off.
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
