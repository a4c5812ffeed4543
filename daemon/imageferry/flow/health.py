"""How the whole is doing: ready or not and why, and whether anything is left that can still move.

Asked by the ops listener and by ``run --until-idle``; it only looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imageferry.errors import LedgerError
from imageferry.flow.site import Site
from imageferry.ports import EventSource, Ledger, Partly
from imageferry.telemetry.http import Check, Readiness

FINE = Check(ok=True, reason="")


@dataclass(slots=True)
class Health:
    """Answers for the daemon. ``policies_wrong`` is None, or why the files on disk are not the set in force."""

    ledger: Ledger
    sites: Sequence[Site]
    sources: Sequence[EventSource]
    policies_wrong: Callable[[], str | None]
    closing: bool = False

    async def readiness(self) -> Readiness:
        """Every check by its name; an open circuit makes the whole not ready only when every account has one."""
        checks = {"ledger": await self._ledger()}
        wrong = self.policies_wrong()
        checks["policies"] = FINE if wrong is None else Check(ok=False, reason=wrong)
        must = checks["ledger"].ok
        for source in self.sources:
            trouble = source.health()
            checks[f"source {source.name}"] = FINE if trouble is None else Check(ok=False, reason=trouble)
            must = must and (trouble is None or isinstance(trouble, Partly))
        circuits = self._circuits()
        checks.update(circuits)
        some_account = not circuits or any(check.ok for check in circuits.values())
        if self.closing:
            checks["running"] = Check(ok=False, reason="the daemon is stopping")
        return Readiness(must and some_account and not self.closing, checks)

    async def _ledger(self) -> Check:
        try:
            await self.ledger.outbox_size()
        except LedgerError as error:
            return Check(ok=False, reason=str(error))
        return FINE

    def _circuits(self) -> dict[str, Check]:
        checks: dict[str, Check] = {}
        for site in self.sites:
            reason = site.lanes.circuit.reason
            text = "" if reason is None else f"account {site.account.name} is closed off: {reason}"
            checks[f"account {site.account.name}"] = Check(ok=reason is None, reason=text)
        return checks

    async def idle(self) -> bool:
        """Whether every finite source is used up and nothing is open that can still move."""
        if not all(source.drained() for source in self.sources if source.finite):
            return False
        if await self.ledger.outbox_size():
            return False
        return not any([await self._can_move(site) for site in self.sites])

    async def stuck(self) -> list[str]:
        """The accounts that have work left and may not do it, each with the reason."""
        reasons: dict[str, str] = {}
        for site in self.sites:
            reason = site.lanes.circuit.reason
            if reason is not None and await self._has_work(site):
                reasons[site.account.name] = reason
        return [f"account {name} is closed off: {reason}" for name, reason in reasons.items()]

    async def _can_move(self, site: Site) -> bool:
        return site.lanes.circuit.reason is None and await self._has_work(site)

    async def _has_work(self, site: Site) -> bool:
        return await self.ledger.has_work(site.account.name, site.region)
