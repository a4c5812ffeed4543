"""Sweep: give up what has waited past its deadline, and keep the gauges that are counted from the ledger.

One loop for the daemon. It never sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from imageferry.core.job import ACTION_KINDS, Job
from imageferry.core.machine import STATES
from imageferry.core.times import SECOND
from imageferry.flow.site import Site, micros
from imageferry.ports import Clock, Ledger, Move
from imageferry.telemetry.metrics import Metrics

EVERY: Final = 5.0
"""Seconds between two rounds."""
BATCH: Final = 500
GRACE: Final = 900.0
"""Seconds after the start in which nothing is given up, unless its own time-out is shorter."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Sweep:
    """The sweeping loop. ``policies`` names the policies in force."""

    sites: Sequence[Site]
    ledger: Ledger
    clock: Clock
    metrics: Metrics
    policies: Callable[[], Sequence[str]]
    since: int = 0
    """When the daemon started: what fell overdue while none ran is tried once more before it is given up."""
    _shown: set[str] = field(default_factory=set)

    async def step(self) -> float:
        """One round; returns the seconds until the next."""
        await self._give_up()
        await self.show()
        return EVERY

    async def _give_up(self) -> None:
        """Batch by batch: those that are left as they are must not hide the ones behind them."""
        left = 0
        full = True
        while full:
            jobs = await self.ledger.overdue(self.clock.now(), BATCH, left)
            left += len(jobs) - sum([await self._ended(job) for job in jobs])
            full = len(jobs) == BATCH

    async def _ended(self, job: Job) -> bool:
        """Give one job up; False where it is left as it is."""
        site = next((s for s in self.sites if (s.account.name, s.region) == job.place[1:]), None)
        if site is None:
            return False  # its account is no longer configured: a person decides, nothing is lost
        if self.clock.now() < self.since + micros(min(GRACE, site.timeout(job.action))):
            return False
        return bool(await site.carry_out([Move(job=job, to="failed", reason=_too_late(job))]))

    async def show(self) -> None:
        """Write the gauges that are counted from the ledger."""
        await self._show_jobs()
        await self._show_unprotected()
        self.metrics.outbox_pending.set(await self.ledger.outbox_size())

    async def _show_jobs(self) -> None:
        counts: dict[tuple[str, str, str, str, str], int] = {}
        for site in self.sites:
            for action in ACTION_KINDS:
                for state in STATES:
                    counts[site.account.cloud, site.account.name, site.region, action, state] = 0
        for row in await self.ledger.counts():
            cloud, account, region = row.place
            counts[cloud, account, region, row.action, row.state] = row.jobs
        for labels, jobs in counts.items():
            self.metrics.jobs.labels(*labels).set(jobs)
        for site in self.sites:
            place = (site.account.cloud, site.account.name, site.region)
            site.lanes.show(site.region, {action: _in_flight(counts, place, action) for action in ACTION_KINDS})

    async def _show_unprotected(self) -> None:
        jobs: dict[str, int] = dict.fromkeys([*self.policies(), *self._shown], 0)
        oldest: dict[str, int] = {}
        for row in await self.ledger.unprotected():
            for policy in row.policies:
                jobs[policy] = jobs.get(policy, 0) + row.jobs
                oldest[policy] = min(oldest.get(policy, row.oldest), row.oldest)
        now = self.clock.now()
        for policy, count in jobs.items():
            self.metrics.unprotected_images.labels(policy=policy).set(count)
            age = (now - oldest[policy]) / SECOND if policy in oldest else 0.0
            self.metrics.oldest_unprotected_seconds.labels(policy=policy).set(age)
        self._shown = set(jobs)


def _in_flight(counts: Mapping[tuple[str, str, str, str, str], int], place: tuple[str, str, str], action: str) -> int:
    return sum(counts[(*place, action, state)] for state in ("submitting", "in_doubt", "running"))


def _too_late(job: Job) -> str:
    if job.state == "in_doubt":
        return (
            "given up: it stayed unclear whether the cloud carried the request out; "
            f"look there before retrying it by hand. Last: {job.reason}"
        )
    return f"given up: it could not be submitted in time. Last: {job.reason}"
