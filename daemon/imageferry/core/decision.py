"""The records a decision is made of; they travel from core to the ledger, to plan and to why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from imageferry.core.answers import Refusal
from imageferry.core.image import Image
from imageferry.core.job import ActionKind

Ternary = Literal["match", "no_match", "unknown"]


class Verdict(NamedTuple):
    """What one policy says of one image, with the matcher that decided it."""

    policy: str
    verdict: Ternary
    reason: str


class PlannedAction(NamedTuple):
    """One action to one destination, wanted by one or more policies (first in file order gives the options)."""

    action: ActionKind
    destination: str
    options: Mapping[str, Any]
    policies: tuple[str, ...]
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Every asked policy's verdict on one image, and what is to be done."""

    image: Image
    verdicts: tuple[Verdict, ...]
    actions: tuple[PlannedAction, ...]
    digest: str
    """Names the policy set that decided."""
    only: tuple[str, ...] = ()
    """The policies that were asked; empty: all of the set."""

    @property
    def undecided(self) -> bool:
        """Whether some policy could not tell; such a policy acts on nothing."""
        return any(v.verdict == "unknown" for v in self.verdicts)
