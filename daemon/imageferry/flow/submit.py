"""Submit: send each due job once, at the lane's pace, and let the answer's class decide what becomes of it.

One loop for each site and action. The intent is on the disk before the request leaves; whatever happens between
the two is a doubt, and doubts are never answered by sending again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus
from structlog.contextvars import bound_contextvars

from imageferry.core.answers import UNCOUNTED, Answer
from imageferry.core.job import DOUBTED, FRESH, ActionKind, Job
from imageferry.core.pace import poll_after, together
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen
from imageferry.flow.site import DEADLINE, SINCE, Site, kept, micros
from imageferry.ports import Accepted, Claim, Move, Permit

LOOKS: Final = "looks"
"""In a job's memo: how often it was looked for; once it was, its request has settled."""
REFUSED: Final = "refusals"
"""In a job's memo: how often in a row the cloud said later."""
SHORT_WAIT: Final = 1.0
"""Seconds before a job that found no free slot, or came too fast, may be tried again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Submit:
    """The submitting loop of one action at one site; requests in flight are tasks of ``group``."""

    site: Site
    action: ActionKind
    group: TaskGroup
    in_flight: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(400))
    stopped: Callable[[], bool] = field(default=lambda: False)
    """Whether no new request may begin, not even one that waited for its permit when that was said."""

    async def step(self) -> float:
        """Send one due job; returns the seconds until another may be due."""
        site = self.site
        here = (site.account.name, site.region)
        due = site.until(await site.ledger.next_due(*here, "planned", self.action))
        if due > 0:
            return due
        try:
            claimed = await self.group.start(self._send_next, name=f"submit {self.action} {'/'.join(here)}")
        except CircuitOpen:
            return max(site.lanes.circuit.reopens_in(), SHORT_WAIT)
        return 0.0 if claimed else SHORT_WAIT

    async def _send_next(self, *, task_status: TaskStatus[bool]) -> None:
        """Wait for a permit, claim the next job, send it; "started" tells whether there was one."""
        site = self.site
        async with self.in_flight, site.lanes.enter(site.region, self.action) as permit:
            job = None if self.stopped() else await self._claim()
            task_status.started(job is not None)
            if job is not None:
                await self._send(job, permit)

    async def _claim(self) -> Job | None:
        site = self.site
        limit = site.account.limits[self.action]
        now = site.clock.now()
        ask = Claim(
            cloud=site.account.cloud,
            account=site.account.name,
            region=site.region,
            action=self.action,
            running=site.lanes.running(site.region, self.action).limit(site.clock.monotonic()),
            scope=limit.scope,
            sent_at=site.cloud.vendor_time(now),
        )
        return await site.ledger.claim(ask, now, site.cloud.freeze)

    async def _send(self, job: Job, permit: Permit) -> None:
        site = self.site
        with bound_contextvars(job=job.id, image=job.image_id, lane=f"{site.account.name}/{site.region}"):
            if job.sends == 1 and job.priority == FRESH:
                site.metrics.event_to_submit_seconds.observe(max(0, site.clock.now() - job.sighted_at) / SECOND)
            sent = site.clock.monotonic()
            answer = await site.cloud.submit(job, permit)
            if isinstance(answer, Accepted):
                await self._accepted(job, answer, sent)
            else:
                log.info("not accepted", **{"class": answer.klass}, vendor_code=answer.vendor_code, reason=str(answer))
                await self._refused(job, answer, sent)

    async def _accepted(self, job: Job, accepted: Accepted, sent: float) -> None:
        site = self.site
        now = site.clock.now()
        expected = site.lanes.expected(job.action).expected()
        base = site.account.polls.tasks
        wait = poll_after(0.0, expected, base, min(base, SHORT_WAIT))
        await site.carry_out(
            [
                Move(
                    job=job,
                    to="running",
                    reason=f"accepted as task {accepted.task_ref}",
                    due_at=micros(together(now / SECOND + wait, wait)),
                    give_up_at=now + micros(self.site.timeout(self.action)),
                    answer=Answer("ok", "accepted", request_id=accepted.request_id),
                    counted=True,
                    task_ref=accepted.task_ref,
                    object_keys=accepted.object_keys or None,
                    memo=kept(job),
                )
            ]
        )
        running = await self._tasks()
        site.lanes.running(site.region, self.action).accepted(site.clock.monotonic(), running, sent=sent)
        site.bells.follow.ring()

    async def _refused(self, job: Job, answer: Answer, sent: float) -> None:
        if answer.klass == "wait_quota" and answer.about_running:
            running = await self._tasks()
            limit = self.site.lanes.running(self.site.region, self.action)
            limit.refused(self.site.clock.monotonic(), running, sent=sent)
        move = self._verdict(job, answer)
        await self.site.carry_out([move])
        bells = self.site.bells
        (bells.doubt if move.to == "in_doubt" else bells.submit(self.action)).ring()

    def _verdict(self, job: Job, answer: Answer) -> Move:
        """What becomes of a job that was not accepted, by the class of the answer."""
        if answer.klass in ("permanent_image", "permanent_config"):
            return Move(job=job, to="failed", reason=str(answer), answer=answer, counted=True)
        if answer.klass in ("unanswered", "retry") or (answer.klass == "wait_image" and DOUBTED in job.memo):
            return self._doubt(job, answer)
        now = self.site.clock.now()
        refusals = int(job.memo.get(REFUSED, 0)) + 1
        memo: dict[str, Any] = {**job.memo, REFUSED: refusals}
        if answer.klass == "wait_image":
            give_up_at = self._image_deadline(job)
            memo.setdefault(DEADLINE, job.give_up_at)
        else:
            give_up_at = memo.pop(DEADLINE, None)
        return Move(
            job=job,
            to="planned",
            reason=str(answer),
            answer=answer,
            due_at=now + self._pause(answer, refusals),
            give_up_at=give_up_at,
            memo=memo,
            counted=answer.klass not in UNCOUNTED,
        )

    def _doubt(self, job: Job, answer: Answer) -> Move:
        """The request may have been carried out: let it settle, then look for what it made.

        An explicit "busy" has nothing to settle; it is looked into soon, with the time of the doubt before it,
        and for no longer than a wait for the image may take.
        """
        busy = answer.klass == "wait_image"
        now = self.site.clock.now()
        timeouts = self.site.account.timeouts
        give_up_at = self._image_deadline(job) if busy else now + micros(self.site.timeout(self.action))
        return Move(
            job=job,
            to="in_doubt",
            reason=str(answer),
            answer=answer,
            due_at=now + micros(SHORT_WAIT if busy else timeouts.settle),
            give_up_at=give_up_at,
            counted=not busy,
            sent_at=int(job.memo[DOUBTED]) if busy else None,
            memo={**kept(job), DOUBTED: job.memo.get(DOUBTED, job.sent_at), **({LOOKS: 1} if busy else {})},
        )

    def _image_deadline(self, job: Job) -> int:
        """When the wait for a busy image is given up: counted from the decision, or from when it was planned again."""
        return int(job.memo.get(SINCE, job.created_at)) + micros(self.site.account.timeouts.image)

    def _pause(self, answer: Answer, refusals: int) -> int:
        account = self.site.account
        if answer.klass == "auth":
            return 0
        if answer.retry_after is not None:
            return micros(answer.retry_after)
        if answer.klass == "wait_image" or (answer.klass == "wait_quota" and not answer.about_running):
            return max(self.site.wait(refusals), micros(min(account.polls.images, account.backoff.longest)))
        # A slot may be free again soon, and the running limit keeps the job back until then.
        return min(self.site.wait(refusals), micros(max(SHORT_WAIT, account.polls.tasks)))

    async def _tasks(self) -> int:
        """Tasks of this kind that the cloud runs, or may run; requests that are still being sent are none yet."""
        limit = self.site.account.limits[self.action]
        region = self.site.region if limit.scope == "region" else None
        counts = await self.site.ledger.in_flight(self.site.account.name, region, self.action)
        return counts.get("running", 0) + counts.get("in_doubt", 0)
