"""One account's region as the loops see it: what they share, and how they wake one another.

Built by the app, one for each configured account and region; passed to every loop that works there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from imageferry.core.account import Account
from imageferry.core.job import FRESH, ActionKind, Job
from imageferry.core.machine import END_STATES
from imageferry.core.pace import back_off
from imageferry.core.times import SECOND
from imageferry.errors import MoveConflict
from imageferry.flow.drive import Bell
from imageferry.flow.lanes import Lanes
from imageferry.flow.undecided import Undecided
from imageferry.ports import Clock, Cloud, Ledger, Move
from imageferry.telemetry.metrics import Metrics

VANISHED: Final = "vanished"
"""In a job's memo: its task ended once without a result."""
SINCE: Final = "since"
"""In a job's memo: when it was planned again, if it was; waits for its image count from then."""
DEADLINE: Final = "give_up_at"
"""In a job's memo: its own deadline, while the wait for its image sets another."""
_LASTING: Final = (VANISHED, SINCE, DEADLINE)

log = structlog.get_logger(__name__)


def micros(seconds: float) -> int:
    """Microseconds of a number of seconds."""
    return round(seconds * SECOND)


def kept(job: Job) -> dict[str, Any]:
    """What of a memo outlives every stage of a job's life: a second chance is given once, however often it is sent."""
    return {name: job.memo[name] for name in _LASTING if name in job.memo}


@dataclass(frozen=True, slots=True)
class Bells:
    """One bell for every loop of a site."""

    look: Bell
    export: Bell
    copy: Bell
    doubt: Bell
    follow: Bell

    def submit(self, action: ActionKind) -> Bell:
        """The bell of the loop that submits such jobs."""
        return self.export if action == "export" else self.copy


@dataclass(slots=True)
class Tally:
    """What this run has ended, for the exit code and for people."""

    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An account's region, with all that its loops need."""

    region: str
    lanes: Lanes
    cloud: Cloud
    ledger: Ledger
    clock: Clock
    metrics: Metrics
    bells: Bells
    announce: Callable[[], None]
    """Rings for the publishers."""
    chance: random.Random
    tally: Tally = field(default_factory=Tally)
    undecided: Undecided = field(default_factory=Undecided)

    @property
    def account(self) -> Account:
        """The account the region belongs to."""
        return self.lanes.account

    def wait(self, tries: int) -> int:
        """Microseconds to wait after ``tries`` failures in a row, by the account's back-off."""
        limits = self.account.backoff
        return micros(back_off(tries, limits.first, limits.longest, self.chance.random()))

    def timeout(self, action: ActionKind) -> float:
        """Seconds that such a task may take, or wait for its first submit."""
        timeouts = self.account.timeouts
        return timeouts.export if action == "export" else timeouts.copy

    def until(self, due_at: int | None) -> float:
        """Seconds until a time in the ledger; None: as long as a loop may rest."""
        if due_at is None:
            return float("inf")
        return max(0.0, (due_at - self.clock.now()) / SECOND)

    async def carry_out(self, moves: Sequence[Move]) -> list[Job]:
        """Move jobs, together where possible; a job that someone else moved meanwhile is left as it is."""
        if not moves:
            return []
        try:
            moved = await self.ledger.move(moves, self.clock.now())
        except MoveConflict:
            moved = [job for move in moves for job in await self._one(move)]
        ended = [job for job in moved if job.state in END_STATES]
        for job in ended:
            self.note_end(job)
        if ended:
            self.announce()
        return moved

    async def _one(self, move: Move) -> list[Job]:
        try:
            return await self.ledger.move([move], self.clock.now())
        except MoveConflict as conflict:
            log.warning("job was moved by someone else", job=move.job.id, wanted=move.to, reason=str(conflict))
            return []

    def note_end(self, job: Job) -> None:
        """Count an end of a job; its slot and its image are free for others."""
        if job.submitted_at is not None:
            self.lanes.running(self.region, job.action).ended(self.clock.monotonic())
        self.metrics.job_ended(job.place.cloud, job.place.account, job.action, job.state, job.klass)
        if job.state == "succeeded":
            self.tally.succeeded += 1
            seconds = ((job.ended_at or job.created_at) - (job.sighted_at or job.created_at)) / SECOND
            for policy in job.policies if job.priority == FRESH else ():
                self.metrics.ready_to_protected_seconds.labels(policy=policy, action=job.action).observe(seconds)
        elif job.state == "failed":
            self.tally.failed += 1
        self.bells.export.ring()
        self.bells.copy.ring()
        log.info(
            "job ended",
            job=job.id,
            image=job.image_id,
            state=job.state,
            reason=job.reason,
            **{"class": job.klass},
            vendor_code=job.vendor_code,
            request_id=job.request_id,
        )
