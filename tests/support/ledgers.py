"""The databases a ledger can live in, and short ways to bring a ledger into a state.

``DATABASES`` is the one table: a database added here has to pass the whole contract suite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any, Final, Protocol

from imageferry.core.answers import Answer
from imageferry.core.decision import Decision, Verdict
from imageferry.core.image import Image, Place
from imageferry.core.job import ActionKind, Job, NewJob
from imageferry.core.machine import State
from imageferry.ledgers.sqlite import open_ledger, open_reader
from imageferry.ports import Admitted, Claim, Clock, DueLook, Frozen, Ledger, LookDone, Move, Reader, Sighting
from support.clocks import START

PLACE: Final = Place("tencent", "prod", "ap-guangzhou")
ELSEWHERE: Final = Place("tencent", "prod", "ap-shanghai")
NOW: Final = START
HOUR: Final = 3_600_000_000
FAR: Final = NOW + 24 * HOUR


class Database(Protocol):
    """One empty database of one test."""

    def open(self, clock: Clock) -> AbstractAsyncContextManager[Ledger]:
        """The ledger, as the daemon opens it."""
        ...

    def reader(self) -> AbstractAsyncContextManager[Reader]:
        """The ledger, as a list opens it."""
        ...

    def raw(self, statement: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Go around the ledger, while nothing has it open. Raises ``refused`` where a rule says no."""
        ...

    refused: type[Exception]
    url: str


class SqliteFile:
    """A file in the test's own folder."""

    refused = sqlite3.IntegrityError

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        self.url = f"sqlite://{self.path}"

    def open(self, clock: Clock) -> AbstractAsyncContextManager[Ledger]:
        return open_ledger(self.url, clock=clock)

    def reader(self) -> AbstractAsyncContextManager[Reader]:
        return open_reader(self.url)

    def raw(self, statement: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(statement, params).fetchall()


DATABASES: Final[dict[str, Callable[[Path], Database]]] = {"sqlite": SqliteFile}


def sighting(image_id: str, event_id: str | None = None, place: Place = PLACE) -> Admitted:
    said = Sighting(
        "kafka/images", event_id or f"event of {image_id}", place.cloud, place.account, place.region, image_id
    )
    return Admitted(said, place)


def image(image_id: str = "img-1", place: Place = PLACE, **facts: Any) -> Image:
    return Image(place=place, id=image_id, name=f"name of {image_id}", state="ready", **facts)


def new_job(image_id: str = "img-1", destination: str = "bucket", **fields: Any) -> NewJob:
    defaults: dict[str, Any] = {
        "place": PLACE,
        "image_id": image_id,
        "image_name": f"name of {image_id}",
        "action": "export",
        "destination": destination,
        "options": {"format": "qcow2"},
        "policies": ("archive",),
        "reason": "policy archive: matches",
        "give_up_at": FAR,
    }
    return NewJob(**defaults | fields)


def decision(seen: Image, *verdicts: Verdict) -> Decision:
    return Decision(seen, verdicts or (Verdict("archive", "match", "os is linux"),), (), "digest-1")


async def look(
    ledger: Ledger, image_id: str, place: Place = PLACE, now: int = NOW, event: str | None = None
) -> DueLook:
    """Sight an image, and return its look."""
    await ledger.record([sighting(image_id, event, place)], now)
    return next(
        due for due in await ledger.due_looks(place.account, place.region, now, 100_000) if due.image_id == image_id
    )


def decided(due: DueLook, *jobs: NewJob) -> LookDone:
    return LookDone(due, "decided", "decided", decision(image(due.image_id, due.place, os="linux")), jobs)


async def plan(ledger: Ledger, *jobs: NewJob, now: int = NOW) -> list[Job]:
    """Sight, look at and decide about the images of these jobs; returns the jobs in the order given."""
    by_image: dict[tuple[Place, str], list[NewJob]] = {}
    for job in jobs:
        by_image.setdefault((job.place, job.image_id), []).append(job)
    events = [sighting(i, f"{i} {now} {wanted[0].destination}", place) for (place, i), wanted in by_image.items()]
    await ledger.record(events, now)
    for place in sorted({place for place, _ in by_image}):
        due = await ledger.due_looks(place.account, place.region, now, 100_000)
        looks = [
            decided(one, *by_image[one.place, one.image_id]) for one in due if (one.place, one.image_id) in by_image
        ]
        await ledger.close_looks(looks, now)
    found = [await ledger.job(job.key) for job in jobs]
    return [job for job in found if job is not None]


def ask(action: ActionKind = "export", place: Place = PLACE, **fields: Any) -> Claim:
    defaults: dict[str, Any] = {"running": None, "scope": "region", "sent_at": NOW + 7}
    return Claim(*place, action, **defaults | fields)


def freeze(job: Job, seen: Image) -> Frozen:
    """A request that tells what it was made from."""
    return Frozen({"image": seen.id, "os": seen.os, "prefix": job.key[:12]}, f"copy-{job.key[:12]}")


def accepted(job: Job, task_ref: str = "task-1", **fields: Any) -> Move:
    answer = Answer("ok", "accepted", request_id="req-1")
    return Move(job=job, to="running", reason="accepted", answer=answer, task_ref=task_ref, **fields)


PATHS: Final[dict[State, tuple[State, ...]]] = {
    "planned": (),
    "submitting": ("submitting",),
    "in_doubt": ("submitting", "in_doubt"),
    "running": ("submitting", "running"),
    "succeeded": ("submitting", "running", "succeeded"),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
}
"""How a planned job gets into each state by allowed moves."""


async def step(ledger: Ledger, job: Job, to: State, now: int = NOW) -> Job:
    """One move, whatever it needs."""
    if to == "submitting":
        return await _claimed(ledger, job, now)
    move = accepted(job) if to == "running" else Move(job=job, to=to, reason=f"to {to}")
    [moved] = await ledger.move([move], now)
    return moved


class _AnotherJob(Exception):
    """The lane's next job is not the one that is wanted."""


async def _claimed(ledger: Ledger, job: Job, now: int) -> Job:
    """Claim this very job; where others are before it in its lane, it is brought forward."""

    def only_this(next_job: Job, seen: Image) -> Frozen:
        if next_job.id != job.id:
            raise _AnotherJob
        return freeze(next_job, seen)

    try:
        claimed = await ledger.claim(ask(job.action, job.place), now, only_this)
    except _AnotherJob:
        await ledger.move([Move(job=job, to="planned", reason="brought forward", due_at=0)], now)
        claimed = await ledger.claim(ask(job.action, job.place), now, only_this)
    assert claimed is not None
    return claimed


async def job_in(ledger: Ledger, state: State, image_id: str = "img-1", now: int = NOW, **fields: Any) -> Job:
    """A new job, brought into a state."""
    [job] = await plan(ledger, new_job(image_id, **fields), now=now)
    for to in PATHS[state]:
        job = await step(ledger, job, to, now)
    return job
