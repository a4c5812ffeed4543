"""Looks: read due images from the cloud until they are ready, gone or failed, and decide about the ready ones.

One loop a site. An event was only a hint; what is decided here rests on the cloud's own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio
import structlog

from imageferry.core.decide import World
from imageferry.core.decision import Decision, PlannedAction
from imageferry.core.image import Image
from imageferry.core.job import FRESH, NewJob
from imageferry.core.policy import PolicySet
from imageferry.errors import CircuitOpen, Refused
from imageferry.flow.site import Site, micros
from imageferry.ports import DueLook, Gone, Look, LookDone, LookLater

BATCH: Final = 100
"""Images a request."""
AT_ONCE: Final = 4
"""Requests under way at once in one region."""
GONE_LOOKS: Final = 2
"""How often an image that the cloud does not know (yet) is looked for again."""
GONE_WAIT: Final = 10.0
"""Seconds between those looks: a cloud may show a new image a little late."""

HELD_BACK: Final = 1.0
"""Seconds until it is seen again whether jobs of a back-fill went out, and there is room for more."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Inspect:
    """The looking loop of one site."""

    site: Site
    policies: Callable[[], PolicySet]

    async def step(self) -> float:
        """Look at what is due; returns the seconds until more is."""
        site = self.site
        here = (site.account.name, site.region)
        rows = await site.ledger.due_looks(*here, site.clock.now(), BATCH * AT_ONCE)
        if not rows:
            return site.until(await site.ledger.next_due(*here, "look")) or HELD_BACK
        async with anyio.create_task_group() as group:
            for start in range(0, len(rows), BATCH):
                group.start_soon(self._look, rows[start : start + BATCH])
        return site.lanes.circuit.reopens_in()

    async def _look(self, rows: Sequence[DueLook]) -> None:
        site = self.site
        try:
            seen = await site.cloud.look(site.region, [row.image_id for row in rows])
        except CircuitOpen as error:
            await self._put_off(rows, str(error), counted=False)
        except Refused as error:
            log.warning("images could not be read", account=site.account.name, region=site.region, reason=str(error))
            await self._put_off(rows, f"could not be read: {error}", counted=error.answer.klass != "throttled")
        else:
            await self._conclude(rows, seen)

    async def _put_off(self, rows: Sequence[DueLook], reason: str, *, counted: bool) -> None:
        """Look again later; what has waited for too long is given up."""
        now = self.site.clock.now()
        late = [row for row in rows if now >= self._deadline(row)]
        await self._close([self._expired(row, reason) for row in late])
        later = [
            LookLater(row, now + self.site.wait(row.attempts + 1), reason, counted)
            for row in rows
            if now < self._deadline(row)
        ]
        if later:
            await self.site.ledger.put_off_looks(later, now)

    async def _conclude(self, rows: Sequence[DueLook], seen: Mapping[str, Look]) -> None:
        site = self.site
        now = site.clock.now()
        names = [(look.id, look.name) for look in seen.values() if isinstance(look, Image)]
        copies = await site.ledger.copies(site.account.name, site.region, names)
        later: list[LookLater] = []
        done: list[LookDone] = []
        for row in rows:
            look = seen[row.image_id]
            if isinstance(look, Image):
                look = replace(look, is_copy=look.id in copies)
            result = self._judge(row, look, now)
            (later if isinstance(result, LookLater) else done).append(result)  # type: ignore[arg-type] # either list fits
        if later:
            await site.ledger.put_off_looks(later, now)
        await self._close(done)

    def _judge(self, row: DueLook, look: Look, now: int) -> LookLater | LookDone:
        polls = self.site.account.polls
        if isinstance(look, Gone):
            if row.attempts < GONE_LOOKS:
                return LookLater(row, now + micros(min(GONE_WAIT, polls.images)), look.reason)
            return LookDone(row, "gone", look.reason)
        if look.state in ("failed", "gone"):
            return LookDone(row, look.state, f"the cloud shows the image as {look.state}")
        if look.state == "pending":
            reason = "the image is not ready yet"
            if now >= self._deadline(row):
                return self._expired(row, reason)
            return LookLater(row, now + micros(polls.images), reason)
        return self._decide(row, look, now)

    def _decide(self, row: DueLook, image: Image, now: int) -> LookDone:
        account = self.site.account
        world = World(facts=self.site.cloud.facts, account_regions=account.regions)
        decision = self.policies().decide(image, world, now, row.only)
        for verdict in decision.verdicts:
            self.site.metrics.decisions_total.labels(policy=verdict.policy, verdict=verdict.verdict).inc()
        self.site.undecided.tell(decision)
        jobs = tuple(self._job(row, decision, action, now) for action in decision.actions)
        return LookDone(row, "decided", _summary(row, decision), decision, jobs)

    def _job(self, row: DueLook, decision: Decision, action: PlannedAction, now: int) -> NewJob:
        wanted = next(v.reason for v in decision.verdicts if v.policy == action.policies[0])
        return NewJob(
            place=decision.image.place,
            image_id=decision.image.id,
            image_name=decision.image.name or "",
            action=action.action,
            destination=action.destination,
            options=action.options,
            policies=action.policies,
            reason=action.refused.reason if action.refused else f"policy {action.policies[0]}: {wanted}",
            refusal_class=action.refused.klass if action.refused else "",
            give_up_at=now + micros(self.site.timeout(action.action)),
            priority=1 if row.priority else FRESH,
        )

    async def _close(self, done: Sequence[LookDone]) -> None:
        if not done:
            return
        site = self.site
        written = await site.ledger.close_looks(done, site.clock.now())
        for job in written.failed:
            site.note_end(job)
        if written.failed:
            site.announce()
        if written.planned:
            site.bells.export.ring()
            site.bells.copy.ring()

    def _deadline(self, row: DueLook) -> int:
        return row.first_seen_at + micros(self.site.account.timeouts.image)

    def _expired(self, row: DueLook, reason: str) -> LookDone:
        hours = self.site.account.timeouts.image / 3600
        return LookDone(row, "expired", f"given up after {hours:g} h: {reason}")


def _summary(row: DueLook, decision: Decision) -> str:
    """What was decided, in a few words; a back-fill is no event, and is told of here alone."""
    count = len(decision.actions)
    text = f"{count} action{'' if count == 1 else 's'}{'; put in by backfill' if row.priority else ''}"
    if decision.only:
        text += f"; only {', '.join(decision.only)} asked"
    unknown = [v for v in decision.verdicts if v.verdict == "unknown"]
    if unknown:
        text += "; not decided: " + "; ".join(f"{v.policy} ({v.reason})" for v in unknown)
    return text
