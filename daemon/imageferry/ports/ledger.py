"""The ledger's port: its reading half, and the whole. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

from imageferry.core.image import Image, Place
from imageferry.core.job import ActionKind, Job, JobFilter
from imageferry.core.machine import State
from imageferry.ports.clouds import Frozen
from imageferry.ports.records import (
    Claim,
    Counted,
    Covered,
    DeadLetter,
    DueLook,
    EventRow,
    HistoryRow,
    ImageRow,
    IntakeRow,
    LetterHead,
    LookDone,
    LookLater,
    Move,
    NewlyDone,
    OutboxRow,
    PutIn,
    Recorded,
    Unprotected,
)


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

    async def outcomes(self, place: Place, image_ids: Sequence[str]) -> dict[str, str]:
        """The ``outcome`` of those images that are known at a place."""
        ...

    async def told(self, place: Place, image_ids: Sequence[str]) -> set[str]:
        """Of some images at a place: those that an event told of, and that were not given up since."""
        ...

    async def copies(self, account: str, region: str, images: Sequence[tuple[str, str | None]]) -> set[str]:
        """Of (id, name) pairs in one region: the ids that are copies made by imageferry, by task_ref or made_name."""
        ...

    async def dead_letters(self, limit: int | None = None) -> list[DeadLetter]:
        """Dead letters, newest first."""
        ...

    async def dead_letter(self, letter_id: int) -> DeadLetter | None:
        """One dead letter."""
        ...

    async def letter_heads(self, limit: int | None = None, *, waiting: bool = False) -> list[LetterHead]:
        """Dead letters without their bytes, newest first; ``waiting``: those that were not replayed."""
        ...

    async def letters_about(self, text: str) -> list[DeadLetter]:
        """Dead letters whose bytes hold a text as a word of its own, oldest first."""
        ...

    async def waiting_letters(self, after: int, limit: int) -> list[int]:
        """The numbers of dead letters that were not replayed, oldest first, behind a number."""
        ...

    async def events_of(self, image_id: str) -> list[EventRow]:
        """Every event about an image id, oldest first."""
        ...

    async def coverage(self) -> list[Covered]:
        """How far every policy is at every place where it wants, or may want, anything."""
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

    async def put_in(self, place: Place, image_ids: Sequence[str], only: Collection[str], now: int) -> PutIn:
        """Make images due for a look as back-fill, for ``only`` these policies (empty: all).

        What is to be looked at already stays as it is; a back-fill that waits is widened by the policies.
        """
        ...

    async def replay(self, letter_id: int, rows: Sequence[IntakeRow], now: int) -> Recorded:
        """Record what a dead letter says after all, and mark it as replayed.

        :raises MoveConflict: it was replayed already, or is not there.
        """
        ...

    async def still_dead(self, letter_id: int, reason: str) -> None:
        """A dead letter could not be read again; the reason is a new one."""
        ...

    async def due_looks(self, account: str, region: str, now: int, limit: int) -> list[DueLook]:
        """Looks that are due, fresh before back-fill, the longest due first.

        Back-fill is held back while as many of its jobs as are good wait for their submit.
        """
        ...

    async def put_off_looks(self, rows: Sequence[LookLater], now: int) -> None:
        """Look again later."""
        ...

    async def close_looks(self, rows: Sequence[LookDone], now: int) -> NewlyDone:
        """Write decisions, jobs (unique by key; a known key only gains policies) and their first history.

        A sighting that came while the look was under way (the version changed) leaves the image due again.
        """
        ...

    async def claim(self, ask: Claim, now: int, freeze: Callable[[Job, Image], Frozen]) -> Job | None:
        """Move the lane's next due job to ``submitting`` with its frozen request, or None when nothing may be sent.

        Counts the running tasks (submitting, in_doubt, running) in the same transaction, and passes over images
        that another job in flight holds. A request that is already frozen is kept as it is.
        """
        ...

    async def due_jobs(
        self, account: str, region: str, state: State, now: int, limit: int, *, without: Collection[str] = ()
    ) -> list[Job]:
        """Jobs of a state that are due, the longest due first; none to a destination of ``without``."""
        ...

    async def move(self, moves: Sequence[Move], now: int) -> list[Job]:
        """Carry out moves, each with its history row, and for an end its outbox row; all or none.

        A move to the same state puts the job off, without a history row unless its reason changed.

        :raises MoveConflict: a row changed since it was read.
        :raises MoveForbidden: the table does not have the move.
        """
        ...

    async def overdue(self, now: int, limit: int, skip: int = 0) -> list[Job]:
        """Planned and in-doubt jobs past ``give_up_at``, the longest past first, without the first ``skip``."""
        ...

    async def has_work(self, account: str, region: str) -> bool:
        """Whether a look is due there, now or later, or a job is in an open state; both at one moment."""
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

    async def known_accounts(self) -> set[tuple[str, str]]:
        """(cloud, account) of every job, and of every image that is still to be looked at."""
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
