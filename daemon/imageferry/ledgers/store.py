"""The ledger port, over any database that can carry scripts out.

Opened by each database's own module, used by flow and the commands. Every method is one transaction, and what it
means is said in ``ports``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from imageferry.core.image import Image, Place
from imageferry.core.job import ActionKind, Job, JobFilter
from imageferry.core.machine import State
from imageferry.ledgers import backfill, intake, leases, letters, looks, moving, outbox, overview, queries
from imageferry.ledgers.script import Database
from imageferry.ports import (
    Claim,
    Counted,
    Covered,
    DeadLetter,
    DueLook,
    EventRow,
    Frozen,
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


class StoredReader:
    """The reading half; implements ``ports.Reader``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def job(self, job_id: str) -> Job | None:
        """One job by its id, its key, or a unique beginning of them."""
        return await self._database.read(queries.job(job_id))

    async def jobs(self, want: JobFilter) -> list[Job]:
        """Jobs, newest first."""
        return await self._database.read(queries.jobs(want))

    async def history(self, job_id: str) -> list[HistoryRow]:
        """Every move of a job, oldest first."""
        return await self._database.read(queries.history(job_id))

    async def image(self, image_id: str) -> list[ImageRow]:
        """What is known of an image id, at every place that has it."""
        return await self._database.read(queries.image(image_id))

    async def outcomes(self, place: Place, image_ids: Sequence[str]) -> dict[str, str]:
        """The ``outcome`` of those images that are known at a place."""
        return await self._database.read(queries.outcomes(place, image_ids))

    async def told(self, place: Place, image_ids: Sequence[str]) -> set[str]:
        """Of some images at a place: those that an event told of, and that were not given up since."""
        return await self._database.read(queries.told(place, image_ids))

    async def copies(self, account: str, region: str, images: Sequence[tuple[str, str | None]]) -> set[str]:
        """Of (id, name) pairs in one region: the ids that are copies made by imageferry."""
        return await self._database.read(queries.copies(account, region, images))

    async def dead_letters(self, limit: int | None = None) -> list[DeadLetter]:
        """Dead letters, newest first."""
        return await self._database.read(letters.dead_letters(limit))

    async def dead_letter(self, letter_id: int) -> DeadLetter | None:
        """One dead letter."""
        return await self._database.read(letters.dead_letter(letter_id))

    async def letter_heads(self, limit: int | None = None, *, waiting: bool = False) -> list[LetterHead]:
        """Dead letters without their bytes, newest first; ``waiting``: those that were not replayed."""
        return await self._database.read(letters.letter_heads(limit, waiting=waiting))

    async def letters_about(self, text: str) -> list[DeadLetter]:
        """Dead letters whose bytes hold a text as a word of its own, oldest first."""
        return await self._database.read(letters.letters_about(text))

    async def waiting_letters(self, after: int, limit: int) -> list[int]:
        """The numbers of dead letters that were not replayed, oldest first, behind a number."""
        return await self._database.read(letters.waiting_letters(after, limit))

    async def events_of(self, image_id: str) -> list[EventRow]:
        """Every event about an image id, oldest first."""
        return await self._database.read(overview.events_of(image_id))

    async def coverage(self) -> list[Covered]:
        """How far every policy is at every place where it wants, or may want, anything."""
        return await self._database.read(overview.coverage())

    async def counts(self) -> list[Counted]:
        """How many jobs are in which state."""
        return await self._database.read(queries.counts())

    async def unprotected(self) -> list[Unprotected]:
        """Jobs that are not succeeded and not cancelled, by the policies that asked for them."""
        return await self._database.read(queries.unprotected())

    async def outbox_size(self) -> int:
        """How many completions are not yet published everywhere."""
        return await self._database.read(outbox.outbox_size())

    async def open_work(self) -> tuple[int, int]:
        """Looks that are due now or later, and jobs in open states."""
        return await self._database.read(queries.open_work())

    async def aclose(self) -> None:
        """Finish what was accepted, then close the connections."""
        await self._database.aclose()


class StoredLedger(StoredReader):
    """The whole ledger; implements ``ports.Ledger``."""

    exclusive: bool = False

    async def record(self, batch: Sequence[IntakeRow], now: int) -> Recorded:
        """Events, looks that are now due, dead letters. Repeats change nothing."""
        return await self._database.write(intake.record(batch, now))

    async def put_in(self, place: Place, image_ids: Sequence[str], only: Collection[str], now: int) -> PutIn:
        """Make images due for a look as back-fill, for ``only`` these policies (empty: all)."""
        return await self._database.write(backfill.put_in(place, image_ids, only, now))

    async def replay(self, letter_id: int, rows: Sequence[IntakeRow], now: int) -> Recorded:
        """Record what a dead letter says after all, and mark it as replayed."""
        return await self._database.write(intake.replay(letter_id, rows, now))

    async def still_dead(self, letter_id: int, reason: str) -> None:
        """A dead letter could not be read again; the reason is a new one."""
        await self._database.write(letters.still_dead(letter_id, reason))

    async def due_looks(self, account: str, region: str, now: int, limit: int) -> list[DueLook]:
        """Looks that are due, fresh before back-fill, the longest due first."""
        return await self._database.read(looks.due_looks(account, region, now, limit))

    async def put_off_looks(self, rows: Sequence[LookLater], now: int) -> None:
        """Look again later."""
        await self._database.write(looks.put_off_looks(rows, now))

    async def close_looks(self, rows: Sequence[LookDone], now: int) -> NewlyDone:
        """Write decisions, jobs and their first history."""
        return await self._database.write(looks.close_looks(rows, now))

    async def claim(self, ask: Claim, now: int, freeze: Callable[[Job, Image], Frozen]) -> Job | None:
        """Move the lane's next due job to ``submitting``, or None when nothing may be sent.

        ``freeze`` is called inside the transaction, in the database's own thread where it has one.
        """
        return await self._database.write(moving.claim(ask, now, freeze))

    async def due_jobs(
        self, account: str, region: str, state: State, now: int, limit: int, *, without: Collection[str] = ()
    ) -> list[Job]:
        """Jobs of a state that are due, the longest due first; none to a destination of ``without``."""
        return await self._database.read(queries.due_jobs((account, region), state, now, limit, without))

    async def move(self, moves: Sequence[Move], now: int) -> list[Job]:
        """Carry out moves, all or none.

        :raises MoveConflict: a row changed since it was read.
        :raises MoveForbidden: the table does not have the move, or a move to ``running`` names no task.
        """
        return await self._database.write(moving.move(moves, now))

    async def overdue(self, now: int, limit: int, skip: int = 0) -> list[Job]:
        """Planned and in-doubt jobs past ``give_up_at``, the longest past first, without the first ``skip``."""
        return await self._database.read(queries.overdue(now, limit, skip))

    async def has_work(self, account: str, region: str) -> bool:
        """Whether a look is due there, now or later, or a job is in an open state."""
        return await self._database.read(queries.has_work(account, region))

    async def in_flight(self, account: str, region: str | None, action: ActionKind) -> dict[State, int]:
        """How many jobs are submitting, in_doubt and running there; None: in every region."""
        return await self._database.read(queries.in_flight(account, region, action))

    async def taken(self, job: Job) -> set[str]:
        """Task references of every other job of the same image and action."""
        return await self._database.read(queries.taken(job))

    async def next_due(
        self, account: str, region: str, what: Literal["look"] | State, action: ActionKind | None = None
    ) -> int | None:
        """When the next look, or the next job of that state (and action), falls due."""
        if what == "look":
            return await self._database.read(looks.next_look(account, region))
        return await self._database.read(queries.next_job(account, region, what, action))

    async def known_accounts(self) -> set[tuple[str, str]]:
        """See ``ports.Ledger``."""
        return await self._database.read(queries.known_accounts())

    async def recover(self, account: str, region: str, now: int, due_at: int) -> int:
        """At start-up: every ``submitting`` job becomes ``in_doubt``, due at ``due_at``."""
        return await self._database.write(moving.recover(account, region, now, due_at))

    async def claim_lanes(self, owner: str, lanes: Sequence[str], now: int, until: int) -> set[str]:
        """Take, or keep, the lanes that are free, expired or ours; returns the ones now held."""
        return await self._database.write(leases.claim_lanes(owner, lanes, now, until))

    async def release_lanes(self, owner: str) -> None:
        """Give every lane back."""
        await self._database.write(leases.release_lanes(owner))

    async def pending(self, publisher: str, limit: int) -> list[OutboxRow]:
        """Completions this publisher has not published, oldest first."""
        return await self._database.read(outbox.pending(publisher, limit))

    async def published(self, publisher: str, seqs: Sequence[int], everyone: Collection[str], now: int) -> None:
        """Mark rows as published; a row that every name of ``everyone`` has published is done.

        Without any ``seqs``: finish whatever today's ``everyone`` has published already.
        """
        await self._database.write(outbox.published(publisher, seqs, everyone, now))

    async def cursor(self, name: str) -> str | None:
        """A source's own bookmark."""
        return await self._database.read(leases.cursor(name))

    async def set_cursor(self, name: str, value: str, now: int) -> None:
        """Write a bookmark."""
        await self._database.write(leases.set_cursor(name, value, now))
