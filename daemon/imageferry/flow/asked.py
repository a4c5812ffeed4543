"""What commands that write ask of the daemon: each request is answered with what was done, or with why it was not.

The app serves it on the socket beside the ledger. What may be done is said by ``steer``, ``backfill`` and ``replay``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imageferry.core.account import Account
from imageferry.core.completion import job_json
from imageferry.errors import BatchRefused, MoveConflict, MoveForbidden
from imageferry.flow import backfill
from imageferry.flow.replay import DO as REPLAY
from imageferry.flow.replay import Replay, answered
from imageferry.flow.site import Site
from imageferry.flow.steer import STEERS, Steer
from imageferry.ports import Clock, Ledger

Request = Mapping[str, Any]
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """Answers requests; ``policies`` names those in force, ``announce`` wakes the publishers."""

    ledger: Ledger
    clock: Clock
    accounts: Mapping[str, Account]
    sites: Sequence[Site]
    policies: Callable[[], Sequence[str]]
    announce: Callable[[], None]
    replay: Replay

    async def __call__(self, request: Request) -> Answer:
        """Do what is asked."""
        name = str(request.get("do"))
        if name == backfill.DO:
            return await self._take(request)
        if name == REPLAY:
            return await answered(self.replay, request.get("letters"))
        if name in STEERS:
            return await self._steer(STEERS[name], str(request.get("job")))
        able = ", ".join([*STEERS, backfill.DO, REPLAY])
        return {"error": f"this daemon cannot {request.get('do')!r}; expected one of {able}"}

    async def _steer(self, do: Steer, job_id: str) -> Answer:
        try:
            job = await do(self.ledger, self.clock, self.accounts, job_id)
        except (MoveForbidden, MoveConflict) as error:
            return {"error": str(error)}
        for site in self.sites:
            site.bells.export.ring()
            site.bells.copy.ring()
        self.announce()
        return {"job": job_json(job)}

    async def _take(self, request: Request) -> Answer:
        try:
            batch = backfill.Batch.from_request(request)
            put = await backfill.take(self.ledger, self.clock, self.accounts, self.policies(), batch)
        except BatchRefused as error:
            return {"error": str(error)}
        for site in self.sites:
            if (site.account.name, site.region) == batch.place[1:]:
                site.bells.look.ring()
        return put._asdict()
