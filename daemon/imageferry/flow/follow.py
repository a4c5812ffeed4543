"""Follow: look after running tasks, many a request where the cloud can, until each has come to its end.

One loop a site. The cadence tightens towards the expected end, which is learned from the tasks that ended before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import anyio
import structlog

from imageferry.core.answers import Answer
from imageferry.core.job import Job
from imageferry.core.pace import patience, poll_after, together
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.flow.site import SINCE, VANISHED, Site, kept, micros
from imageferry.flow.ways import BESIDE, Ways
from imageferry.ports import Following, Move, Progress

BATCH: Final = 100
AT_ONCE: Final = 4
SHORTEST: Final = 1.0
"""Seconds between two looks at one task, at the least; the base cadence may be shorter still."""
PRECISION: Final = 50.0
"""The end of a task need not be known more exactly than to this part of what such a task takes."""
PATIENCE: Final = 2.0
"""A task that is seen to run past its deadline is followed up to this many times its time-out."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Follow:
    """The following loop of one site."""

    site: Site
    ways: Ways

    async def step(self) -> float:
        """Look after the tasks that are due; returns the seconds until more are."""
        site, under_way = self.site, self.ways.under_way
        here = (site.account.name, site.region)
        jobs = await site.ledger.due_jobs(*here, "running", site.clock.now(), BATCH * AT_ONCE, without=under_way)
        if jobs:
            self.ways.start(jobs, self._look_after_all)
            return 0.0
        return BESIDE if under_way else site.until(await site.ledger.next_due(*here, "running"))

    async def _look_after_all(self, jobs: Sequence[Job]) -> None:
        async with anyio.create_task_group() as group:
            for start in range(0, len(jobs), BATCH):
                group.start_soon(self._look_after, jobs[start : start + BATCH])

    async def _look_after(self, jobs: Sequence[Job]) -> None:
        site = self.site
        now = site.clock.now()
        asked = [Following(job, overdue=now >= job.give_up_at) for job in jobs]
        try:
            told = {p.job_id: p for p in await site.cloud.follow(site.region, asked)}
        except (CircuitOpen, Refused) as error:
            answer = error.answer if isinstance(error, Refused) else None
            moves = [self._unheard(job, str(error), answer) for job in jobs]
        else:
            moves = [self._verdict(one, told[one.job.id]) for one in asked]
        await site.carry_out(moves)

    def _verdict(self, asked: Following, told: Progress) -> Move:
        job = asked.job
        if told.verdict == "running":
            return self._still_running(asked, told)
        if told.verdict == "vanished":
            return self._vanished(job, told)
        if told.verdict == "succeeded":
            self.site.lanes.expected(job.action).seen(self._elapsed(job))
        return Move(
            job=job,
            to=told.verdict,
            reason=told.reason,
            answer=told.answer,
            object_keys=told.object_keys,
            memo=told.memo,
        )

    def _still_running(self, asked: Following, told: Progress) -> Move:
        job = asked.job
        give_up_at = None
        if asked.overdue:
            timeout = self.site.timeout(job.action)
            if self._elapsed(job) >= PATIENCE * timeout:
                return Move(job=job, to="failed", reason=f"given up: {told.reason}", answer=told.answer)
            give_up_at = self.site.clock.now() + micros(timeout / 10)
        return Move(
            job=job,
            to="running",
            reason=told.reason,
            answer=told.answer,
            due_at=self._next_look(job, soon=told.soon),
            give_up_at=give_up_at,
            object_keys=told.object_keys,
            memo={**kept(job), **told.memo},
        )

    def _vanished(self, job: Job, told: Progress) -> Move:
        """A task that ended without a result is asked for once more, and only once."""
        if job.memo.get(VANISHED):
            return Move(job=job, to="failed", reason=f"twice: {told.reason}", answer=told.answer)
        return Move(
            job=job,
            to="planned",
            reason=told.reason,
            answer=told.answer,
            due_at=self.site.clock.now(),
            give_up_at=self.site.clock.now() + micros(self.site.timeout(job.action)),
            memo={VANISHED: 1, SINCE: self.site.clock.now()},
        )

    def _unheard(self, job: Job, reason: str, answer: Answer | None) -> Move:
        """The cloud did not say how the task is: look again, and past the deadline give up."""
        if self.site.clock.now() >= job.give_up_at + micros(self.site.timeout(job.action)):
            return Move(job=job, to="failed", reason=f"given up: its state could not be read: {reason}", answer=answer)
        return Move(
            job=job,
            to="running",
            reason=f"its state could not be read: {reason}",
            due_at=self._next_look(job, soon=False),
        )

    def _next_look(self, job: Job, *, soon: bool) -> int:
        base = self.site.account.polls.tasks
        shortest = min(base, SHORTEST)
        elapsed, expected = self._elapsed(job), self.site.lanes.expected(job.action).expected()
        precise = min(base, max(SHORTEST, (expected or 0.0) / PRECISION))
        longest = patience(elapsed, expected, base)
        seconds = shortest if soon else poll_after(elapsed, expected, longest, precise)
        return micros(together(self.site.clock.now() / SECOND + seconds, seconds))

    def _elapsed(self, job: Job) -> float:
        return (self.site.clock.now() - (job.submitted_at or job.created_at)) / SECOND
