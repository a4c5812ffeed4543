"""Intake: sightings into the ledger, before anyone is told that they arrived.

Sources await it; it looks at who and where only, never at an event's other facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from imageferry.core.account import Account
from imageferry.core.image import Place
from imageferry.core.policy import PolicySet
from imageferry.ports import Admitted, Clock, Delivery, Ignored, IntakeRow, Ledger, Recorded, Sighting
from imageferry.telemetry.metrics import Metrics

REMEMBERED: Final = 10_000
"""How many whereabouts are kept resolved; strangers may send any number of them."""
PROJECT: Final = "project:"
"""Begins the region of a sighting that knows only the id of the project: Huawei Cloud's audit names no region."""

Whereabouts = tuple[str, str | None, str]
"""What a sighting says: cloud, account (name or id) or None, region."""


class Directory:
    """Finds the configured account and region a sighting means, or the reason why there is none."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = accounts

    def resolve(self, where: Whereabouts) -> Place | str:
        """The place, or the reason to ignore the sighting."""
        cloud, named, region = where
        here = [a for a in self._accounts if a.cloud == cloud]
        if not here:
            return f"no account of cloud {cloud} is configured"
        found = self._named(here, named)
        if isinstance(found, str):
            return found
        if region.startswith(PROJECT):
            project = region.removeprefix(PROJECT)
            known = self._region_of(found, project)
            if known is None:
                return (
                    f"the event names project {project} and no region, and account {found.name} has "
                    f"{len(found.regions)}; write which one it is in: credentials.projects"
                )
            region = known
        if region not in found.regions:
            return f"region {region} of account {found.name} is not configured"
        return Place(cloud, found.name, region)

    @staticmethod
    def _region_of(account: Account, project: str) -> str | None:
        """Where a project is: as configured, else the account's only region."""
        configured = [region for region, own in account.credentials.projects.items() if own == project]
        if configured:
            return configured[0]
        if len(account.regions) == 1:
            return account.regions[0]
        return None

    @staticmethod
    def _named(here: Sequence[Account], named: str | None) -> Account | str:
        if named is None:
            if len(here) == 1:
                return here[0]
            return f"the event names no account, and cloud {here[0].cloud} has {len(here)}"
        for account in here:
            if named in (account.name, account.account_id):
                return account
        if len(here) == 1 and here[0].account_id is None:
            return here[0]
        return f"account {named} of cloud {here[0].cloud} is not configured"


@dataclass
class Recorder:
    """Implements ``ports.Intake``. ``ring`` wakes the loop that looks at a place."""

    directory: Directory
    policies: Callable[[], PolicySet]
    ledger: Ledger
    clock: Clock
    metrics: Metrics
    ring: Callable[[Place], None]
    _known: dict[Whereabouts, Place | str] = field(default_factory=dict)
    _known_by: PolicySet | None = None

    async def __call__(self, batch: Sequence[Delivery], /, *, source_type: str) -> None:
        """Record a batch; returning means that it is on the disk."""
        if not batch:
            return
        rows, places = self._judged(batch)
        self._note(await self.ledger.record(rows, self.clock.now()), places, source_type)

    async def replayed(self, letter_id: int, batch: Sequence[Delivery], source_type: str) -> Recorded:
        """Record what a dead letter says after all; it is marked in the same transaction.

        :raises MoveConflict: it was replayed already, or is not there.
        """
        rows, places = self._judged(batch)
        recorded = await self.ledger.replay(letter_id, rows, self.clock.now())
        self._note(recorded, places, source_type)
        return recorded

    def _judged(self, batch: Sequence[Delivery]) -> tuple[list[IntakeRow], set[Place]]:
        """What is to be recorded of each delivery, and where there is something to look at."""
        known = self._memory()
        rows: list[IntakeRow] = []
        places: set[Place] = set()
        for delivery in batch:
            if not isinstance(delivery, Sighting):
                rows.append(delivery)
                continue
            where = (delivery.cloud, delivery.account, delivery.region)
            place = known.get(where) or self._resolve(where)
            if isinstance(place, str):
                rows.append(Ignored(delivery, place))
            else:
                rows.append(Admitted(delivery, place))
                places.add(place)
        return rows, places

    def _note(self, recorded: Recorded, places: Iterable[Place], source_type: str) -> None:
        """Count what was recorded, and wake whoever looks there."""
        outcomes: Mapping[str, int] = recorded._asdict()
        for outcome, count in outcomes.items():
            if count:
                self.metrics.events_total.labels(source=source_type, outcome=outcome).inc(count)
        for place in places:
            self.ring(place)

    def _memory(self) -> dict[Whereabouts, Place | str]:
        """What was resolved before; forgotten when the policies change, or when strangers fill it."""
        policies = self.policies()
        if policies is not self._known_by or len(self._known) > REMEMBERED:
            self._known = {}
            self._known_by = policies
        return self._known

    def _resolve(self, where: Whereabouts) -> Place | str:
        place = self.directory.resolve(where)
        if isinstance(place, Place) and not self.policies().could_match(place):
            place = f"no policy could match anything at {place}"
        self._known[where] = place
        return place
