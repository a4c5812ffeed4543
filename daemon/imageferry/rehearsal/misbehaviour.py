"""Faults on request: which request or task is hit, how often, and what then goes wrong.

A rehearsal cloud asks :class:`Misbehaviours` once for each request and once for each task; what is answered is
carried out by the cloud itself. Nothing here waits, sends or knows a vendor.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ConfigDict

Fault = Literal[
    "throttle",
    "code",
    "status",
    "slow",
    "hang",
    "drop",
    "garbage",
    "task_fails",
    "object_missing",
    "object_late",
    "object_grows",
    "object_empty",
]

TASK_FAULTS: Final[frozenset[Fault]] = frozenset(
    {"task_fails", "object_missing", "object_late", "object_grows", "object_empty"}
)
"""Faults of an accepted task; the others are faults of a request's answer."""

API_FAULTS: Final[frozenset[Fault]] = frozenset({"throttle", "code", "garbage"})
"""Faults that need the API's envelope: they pass over storage requests."""

HEAD_OBJECT: Final = "HeadObject"
"""The action name of a storage request, for aiming a fault at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehaviour:
    """One fault, and what it is aimed at; an aim that is None hits everything.

    ``throttle``: RequestLimitExceeded. ``code``: the vendor code ``code``. ``status``: a bare HTTP ``status``.
    ``slow``: the answer comes ``after`` seconds, whatever it is. ``hang``: no answer ever. ``drop``: the connection is
    closed without an answer. ``garbage``: status 200 with an unreadable body. ``task_fails``: an export leaves
    nothing, a copy fails. ``object_missing``: the last object of an export never appears. ``object_late``: objects
    appear ``after`` seconds after the image is free. ``object_grows``: objects are whole only ``after`` seconds after
    they are first seen. ``object_empty``: objects of length 0.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    fault: Fault
    action: str | None = None
    image_id: str | None = None
    region: str | None = None
    destination: str | None = None
    """Bucket or target region."""
    count: int | None = None
    """How many hits; None: until it is taken away."""
    probability: float = 1.0
    dry_runs: bool = True
    """Whether requests with DryRun are hit too."""
    work: Literal["none", "done", "late"] = "none"
    """For status, hang, drop and garbage: whether the work is done all the same, now or ``after`` seconds later."""
    after: float = 0.0
    status: int = 503
    code: str = "InternalError"
    message: str = "rehearsed"

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError("probability must be between 0 and 1")
        if self.after < 0 or (self.count is not None and self.count < 1):
            raise ValueError("after must not be negative, and count must be at least 1")
        if not 400 <= self.status <= 599:  # noqa: PLR2004 - HTTP's own bounds of an error
            raise ValueError("status must be an HTTP error, 400 to 599")
        if self.action == HEAD_OBJECT and self.fault in API_FAULTS:
            raise ValueError(f"{self.fault} cannot befall a storage request; use status, slow, hang or drop")


@dataclass(frozen=True, slots=True)
class Aim:
    """What a request or task is about, for finding the faults that hit it."""

    action: str
    region: str = ""
    image_ids: Collection[str] = ()
    destinations: Collection[str] = ()
    dry_run: bool = False

    def hit_by(self, fault: Misbehaviour) -> bool:
        """Whether the fault is aimed at this."""
        return (
            fault.action in (None, self.action)
            and not (self.action == HEAD_OBJECT and fault.fault in API_FAULTS)
            and fault.region in (None, self.region)
            and (fault.image_id is None or fault.image_id in self.image_ids)
            and (fault.destination is None or fault.destination in self.destinations)
            and (fault.dry_runs or not self.dry_run)
        )


@dataclass(slots=True)
class Standing:
    """A fault that was asked for, with what is left of it."""

    id: int
    fault: Misbehaviour
    left: int | None
    hits: int = 0


class Misbehaviours:
    """Every fault in force, in the order in which they were asked for."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._standing: dict[int, Standing] = {}
        self._asked = 0

    def add(self, fault: Misbehaviour) -> int:
        """Put a fault in force; its number, for taking it away."""
        self._asked += 1
        self._standing[self._asked] = Standing(self._asked, fault, fault.count)
        return self._asked

    def remove(self, number: int | None = None) -> int:
        """Take one fault away, or all of them; how many there were."""
        gone = list(self._standing) if number is None else [n for n in (number,) if n in self._standing]
        for each in gone:
            del self._standing[each]
        return len(gone)

    def standing(self) -> list[Standing]:
        """What is in force now."""
        return list(self._standing.values())

    def strike_answer(self, aim: Aim) -> tuple[float, Misbehaviour | None]:
        """(seconds that the answer is late, what else befalls it): every ``slow`` adds up, of the rest the first."""
        delay, struck = 0.0, None
        for each in self._aimed_at(aim):
            if each.fault.fault == "slow":
                delay += each.fault.after if self._hits(each) else 0.0
            elif each.fault.fault not in TASK_FAULTS and struck is None and self._hits(each):
                struck = each.fault
        return delay, struck

    def strike_task(self, aim: Aim) -> list[Misbehaviour]:
        """What befalls an accepted task: the first of each kind."""
        struck: dict[str, Misbehaviour] = {}
        for each in self._aimed_at(aim):
            kind = each.fault.fault
            if kind in TASK_FAULTS and kind not in struck and self._hits(each):
                struck[kind] = each.fault
        return list(struck.values())

    def _aimed_at(self, aim: Aim) -> list[Standing]:
        return [each for each in self._standing.values() if aim.hit_by(each.fault)]

    def _hits(self, each: Standing) -> bool:
        if each.fault.probability < 1.0 and self._chance.random() >= each.fault.probability:
            return False
        each.hits += 1
        if each.left is not None:
            each.left -= 1
            if each.left == 0:
                del self._standing[each.id]
        return True
