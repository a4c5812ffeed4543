"""Holding lanes: one process works on a lane at a time, so that its rate needs no shared counter.

One loop for the daemon. A lane that is lost ends the process: what it would send next would be one too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imageferry.core.account import Account
from imageferry.errors import LedgerError
from imageferry.flow.site import micros
from imageferry.ports import Clock, Ledger

LEASE: Final = 30.0
"""Seconds a lane stays held without being renewed."""
RENEW_EVERY: Final = 5.0


async def check_names(ledger: Ledger, accounts: Sequence[Account]) -> None:
    """Refuse an account whose name the ledger knows as another cloud's: their work would be taken for each other's.

    :raises LedgerError: there is one.
    """
    known = await ledger.known_accounts()
    for account in accounts:
        other = next((cloud for cloud, name in sorted(known) if name == account.name and cloud != account.cloud), "")
        if other:
            raise LedgerError(
                f"account {account.name} is of cloud {account.cloud}, but this ledger has work of an account "
                f"{account.name} of cloud {other}; give it another name, or another ledger"
            )


@dataclass(frozen=True, slots=True)
class Hold:
    """Takes and renews the lanes of this process."""

    ledger: Ledger
    owner: str
    lanes: Sequence[str]
    clock: Clock

    async def step(self) -> float:
        """Take or renew every lane; returns the seconds until the next renewal.

        :raises LedgerError: another process holds one of them.
        """
        now = self.clock.now()
        held = await self.ledger.claim_lanes(self.owner, self.lanes, now, now + micros(LEASE))
        missing = sorted(set(self.lanes) - held)
        if missing:
            raise LedgerError(f"another process works on {', '.join(missing)}; stop it, or give it other accounts")
        return RENEW_EVERY
