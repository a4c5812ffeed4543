"""Verdicts that could not be reached: told to the log once, not with every image.

The looking loops call it for each decision. It counts nothing: metrics and the ledger hold every single verdict.
"""

from __future__ import annotations

from typing import Final

import structlog

from imageferry.core.decision import Decision

MOST: Final = 1000
"""Reasons that are remembered; some hold values of images, so that there may be any number of them."""

log = structlog.get_logger(__name__)


class Undecided:
    """What was told already, of this set of policies and those before."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()

    def tell(self, decision: Decision) -> None:
        """Log every verdict that is unknown, unless the same policy of the same set has said the same before."""
        for verdict in decision.verdicts:
            told = (decision.digest, verdict.policy, verdict.reason)
            if verdict.verdict != "unknown" or told in self._told:
                continue
            if len(self._told) >= MOST:
                self._told.clear()  # told again is better than never, or than memory without end
            self._told.add(told)
            log.warning(
                "policy not decided, nothing is done for it",
                policy=verdict.policy,
                reason=verdict.reason,
                image=decision.image.id,
                account=decision.image.place.account,
                region=decision.image.place.region,
            )
