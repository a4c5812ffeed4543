"""Steering by hand: what a person may do to a job, and what they may not.

Called by the daemon for requests that come over its socket, and by the commands themselves when no daemon runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from imageferry.core.account import Account
from imageferry.core.job import Job
from imageferry.core.machine import OPEN_STATES
from imageferry.core.times import SECOND
from imageferry.errors import MoveForbidden
from imageferry.flow.site import SINCE
from imageferry.ports import Clock, Ledger, Move

UNKNOWN_TIMEOUT: Final = 86_400.0
"""Seconds a retried job may wait whose account is no longer configured."""


async def _job(ledger: Ledger, job_id: str) -> Job:
    job = await ledger.job(job_id)
    if job is None:
        raise MoveForbidden(f"there is no job {job_id}; `imageferry jobs list` shows them")
    return job


async def retry(ledger: Ledger, clock: Clock, accounts: Mapping[str, Account], job_id: str) -> Job:
    """Give a failed or cancelled job another life: it is planned again, as attempt n + 1, due at once.

    :raises MoveForbidden: there is no such job, or it has not ended, or it has succeeded.
    """
    job = await _job(ledger, job_id)
    if job.state == "succeeded":
        raise MoveForbidden(f"job {job.id} has succeeded; there is nothing to retry")
    if job.state in OPEN_STATES:
        raise MoveForbidden(f"job {job.id} is {job.state} and goes on by itself")
    account = accounts.get(job.place.account)
    timeout = UNKNOWN_TIMEOUT
    if account is not None:
        timeout = account.timeouts.export if job.action == "export" else account.timeouts.copy
    now = clock.now()
    give_up_at = now + round(timeout * SECOND)
    memo = {SINCE: now}
    move = Move(job=job, to="planned", reason="retried by hand", due_at=now, give_up_at=give_up_at, memo=memo)
    return (await ledger.move([move], now))[0]


async def cancel(ledger: Ledger, clock: Clock, _accounts: Mapping[str, Account], job_id: str) -> Job:
    """Cancel a job that was not sent yet.

    :raises MoveForbidden: there is no such job, or the cloud may already work on it: no cloud can stop such a task,
        and a slot that only looks free would be claimed twice.
    """
    job = await _job(ledger, job_id)
    if job.state != "planned":
        why = "it has ended" if job.state not in OPEN_STATES else "the cloud cannot stop a task that it may be running"
        raise MoveForbidden(f"job {job.id} is {job.state} and cannot be cancelled: {why}")
    now = clock.now()
    return (await ledger.move([Move(job=job, to="cancelled", reason="cancelled by hand")], now))[0]


Steer = Callable[[Ledger, Clock, Mapping[str, Account], str], Awaitable[Job]]
STEERS: Final[Mapping[str, Steer]] = {"retry": retry, "cancel": cancel}
"""What the socket and the commands can ask for, by name."""
