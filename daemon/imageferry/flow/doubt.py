"""Doubts: find out whether a request without an answer was carried out; never send it again on a guess.

One loop a site. What is found runs on; what is proved absent may be sent again; what stays unclear is looked into
until its deadline, and then left to a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import anyio
import structlog

from imageferry.core.answers import Answer
from imageferry.core.job import DOUBTED, Job
from imageferry.errors import CircuitOpen, Refused
from imageferry.flow.site import Site, kept, micros
from imageferry.flow.submit import LOOKS
from imageferry.flow.ways import BESIDE, Ways
from imageferry.ports import Absent, Finding, Found, Lost, Move, Unclear

BATCH: Final = 16
AT_ONCE: Final = 8
"""Doubts looked into at once for one destination."""
ABSENT: Final = "absent"
"""In a job's memo: how often it was found absent in a row."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Doubt:
    """The loop that solves the doubts of one site."""

    site: Site
    ways: Ways

    async def step(self) -> float:
        """Look into the doubts that are due; returns the seconds until more are."""
        site, under_way = self.site, self.ways.under_way
        here = (site.account.name, site.region)
        jobs = await site.ledger.due_jobs(*here, "in_doubt", site.clock.now(), BATCH, without=under_way)
        if jobs:
            self.ways.start(jobs, self._solve_all)
            return 0.0
        return BESIDE if under_way else site.until(await site.ledger.next_due(*here, "in_doubt"))

    async def _solve_all(self, jobs: Sequence[Job]) -> None:
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(self._solve, job, limiter)

    async def _solve(self, job: Job, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            unsettled = await self._unsettled(job)
            if unsettled > 0:
                move = Move(job=job, to="in_doubt", reason=job.reason, due_at=self.site.clock.now() + unsettled)
            else:
                move = self._verdict(job, await self._find(job))
        await self.site.carry_out([move])
        if move.to != "in_doubt":
            bells = self.site.bells
            (bells.follow if move.to == "running" else bells.submit(job.action)).ring()

    async def _unsettled(self, job: Job) -> int:
        """Microseconds until its request can no longer be under way, counted from the stored send over restarts.

        By our own clock, as the history has it: after a start the vendor's is not known yet.
        """
        if LOOKS in job.memo:
            return 0
        settle = micros(self.site.account.timeouts.settle)
        sent = [row.at for row in await self.site.ledger.history(job.id) if row.to_state == "submitting"]
        waited = self.site.clock.now() - max(sent, default=job.created_at)
        return settle - max(0, waited)

    async def _find(self, job: Job) -> Finding:
        taken = await self.site.ledger.taken(job)
        try:
            return await self.site.cloud.find(job, taken)
        except CircuitOpen as error:
            return Unclear(str(error))
        except Refused as error:
            return Unclear(f"could not be looked for: {error}", error.answer)

    def _verdict(self, job: Job, finding: Finding) -> Move:
        if isinstance(finding, Found):
            return self._found(job, finding)
        if isinstance(finding, Lost):
            return Move(job=job, to="failed", reason=finding.reason, answer=finding.answer)
        if isinstance(finding, Absent):
            return self._absent(job, finding)
        return self._again(job, finding.reason, finding.answer, {ABSENT: 0})

    def _found(self, job: Job, found: Found) -> Move:
        now = self.site.clock.now()
        log.info("lost task found", job=job.id, image=job.image_id, task=found.task_ref)
        return Move(
            job=job,
            to="running",
            reason=found.reason,
            due_at=now,
            give_up_at=now + micros(self.site.timeout(job.action)),
            answer=Answer("ok", found.reason, request_id=found.request_id or job.request_id),
            task_ref=found.task_ref,
            object_keys=found.object_keys or None,
            memo=kept(job),
        )

    def _absent(self, job: Job, absent: Absent) -> Move:
        """Proved absent at once where something stronger than a name guards it, else at the second look."""
        if not absent.certain and not job.memo.get(ABSENT):
            return self._again(job, absent.reason, None, {ABSENT: 1})
        if job.attempts >= self.site.account.backoff.attempts:
            reason = f"given up after {job.attempts} attempts: {absent.reason}"
            return Move(job=job, to="failed", reason=reason)
        due_at = self.site.clock.now() + (self.site.wait(job.attempts) if job.klass == "retry" else 0)
        memo = {**kept(job), DOUBTED: job.memo.get(DOUBTED, job.sent_at)}
        return Move(job=job, to="planned", reason=absent.reason, due_at=due_at, memo=memo)

    def _again(self, job: Job, reason: str, answer: Answer | None, memo: Mapping[str, Any]) -> Move:
        looks = int(job.memo.get(LOOKS, 0)) + 1
        account = self.site.account
        longest = max(account.polls.tasks, account.timeouts.settle / 2)
        pause = min(max(self.site.wait(looks), micros(account.timeouts.settle / 4)), micros(longest))
        return Move(
            job=job,
            to="in_doubt",
            reason=reason,
            answer=answer,
            due_at=self.site.clock.now() + pause,
            memo={**job.memo, LOOKS: looks, **memo},
        )
