"""A job: one action on one image to one destination, and the key that makes it one job whoever asks for it."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from imageferry.core.image import Place
from imageferry.core.machine import State

ActionKind = Literal["export", "copy"]
ACTION_KINDS: Final[tuple[ActionKind, ...]] = ("export", "copy")

Priority = Literal[0, 1]
FRESH: Final[Priority] = 0
BACKFILL: Final[Priority] = 1

DOUBTED: Final = "doubt_since"
"""In a job's memo: when the first send of a doubt left, vendor's time; "busy" may then be our own lost task."""

UNIQUE_LENGTH: Final = 12
"""How many characters of a key make a prefix, an object name or an image name unique."""


def job_key(place: Place, image_id: str, action: ActionKind, destination: str) -> str:
    """The identity of a job: 26 characters of ``a-z2-7``, the same for everyone who asks for the same thing."""
    text = "\n".join((*place, image_id, action, destination))
    return b32encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=").lower()


def job_id(key: str) -> str:
    """The short name people use for a job: the first 16 characters of its key."""
    return key[:16]


def unique_part(key: str) -> str:
    """The 12 characters that go into prefixes and names, so that what a job made can be told from all else."""
    return key[:UNIQUE_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as a decision asks for it. With ``refusal`` it is written as failed, without a request."""

    place: Place
    image_id: str
    image_name: str
    action: ActionKind
    destination: str
    options: Mapping[str, Any]
    """The action's other options after their templates: format, prefix, role, disks, quick | name, agency, project."""
    policies: tuple[str, ...]
    reason: str
    give_up_at: int
    """When the wait for a first submit is given up, microseconds UTC."""
    priority: Priority = FRESH
    refusal_class: str = ""
    """``permanent_image`` or ``permanent_config``: the job is born failed with ``reason``."""

    @property
    def key(self) -> str:
        """The job's identity."""
        return job_key(self.place, self.image_id, self.action, self.destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of the ledger. Times are microseconds UTC; None means not yet."""

    id: str
    key: str
    place: Place
    image_id: str
    image_name: str
    action: ActionKind
    destination: str
    options: Mapping[str, Any]
    policies: tuple[str, ...]
    state: State
    reason: str
    priority: int
    version: int
    created_at: int
    due_at: int
    give_up_at: int
    klass: str = ""
    vendor_code: str = ""
    request_id: str = ""
    attempt: int = 1
    """Which life of the job this is: from 1, one more each time a person retries it; part of the completion's id."""
    attempts: int = 0
    """Sends that count towards ``backoff.attempts``."""
    sends: int = 0
    """Every send, whatever its answer."""
    task_ref: str = ""
    object_keys: tuple[str, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    """The whole request, frozen together with the first ``submitting``; resends and ``find`` use it as it is."""
    made_name: str = ""
    """For a copy: the name the new image gets, by which it is recognised as ours before its id is known."""
    memo: Mapping[str, Any] = field(default_factory=dict)
    """What the adapter noted while following or looking into a doubt; the adapter's own JSON."""
    sighted_at: int = 0
    """When the event that led to the job was received."""
    sent_at: int | None = None
    """The first unresolved send, by the vendor's clock; None when no send is unresolved."""
    submitted_at: int | None = None
    """When the cloud accepted the task, by our clock."""
    ended_at: int | None = None


class JobFilter(NamedTuple):
    """Which jobs a list shows; None means any."""

    state: str | None = None
    cloud: str | None = None
    account: str | None = None
    image: str | None = None
    policy: str | None = None
    limit: int | None = None


def first_send(job: Job) -> int:
    """When the first send left of which it is not known what became, by the vendor's clock."""
    return int(job.memo.get(DOUBTED) or job.sent_at or job.created_at)
